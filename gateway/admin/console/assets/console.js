// Converts times to the browser's time zone. Without this script they are shown in UTC.
"use strict";
(() => {
    const language = document.documentElement.lang;
    const short = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "short" });
    const long = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
    const convert = (root) => {
        for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
            const at = new Date(time.getAttribute("datetime"));
            if (!Number.isNaN(at.getTime())) {
                time.textContent = short.format(at);
                time.title = long.format(at);
            }
        }
    };
    convert(document);
    document.addEventListener("htmx:after:swap", () => convert(document));
})();
