#!/usr/bin/env bash
# The demo: a simulated WeChat, the gateway with tenants/, and the calls to try. Ctrl-C ends both.
set -euo pipefail

bin=$1
folder=$(mktemp -d)
simulator= gateway=
finish() {
    trap - EXIT INT TERM
    [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
    [ -z "$simulator" ] || kill "$simulator" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 0' INT TERM

export MANULIFE_WECHAT_SECRET=demo-secret
export MENLOU_TENANTS__DIR=tenants
export MENLOU_STORE__PATH="$folder/menlou.db"
export MENLOU_TESTING__ALLOW_TEST_OPENIDS=true

"$bin/menlou-simulator" --listen 127.0.0.1:9080 >"$folder/simulator.log" 2>&1 &
simulator=$!
admin=$("$bin/menlou" admin token new --role operator --expires 1d --label demo 2>/dev/null)
printf '%s\n' 'correct horse' | "$bin/menlou" user add --tenant manulife --account ann --name 安
"$bin/menlou" run &
gateway=$!

for _ in $(seq 100); do
    kill -0 "$gateway" 2>/dev/null || exit 1
    kill -0 "$simulator" 2>/dev/null || { cat "$folder/simulator.log"; exit 1; }
    curl -sf -o /dev/null http://127.0.0.1:8081/readyz && break
    sleep 0.1
done

cat <<'EOF'

────────────────────────────────────────────────────────────────────────────
The login flow, step by step; paste each line into another terminal.
登录流程，逐行粘贴到另一个终端执行。

# 1. The request of the API document, with its test openid  接口文档中的请求
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=openid&code=&openid=oAHBN10P-hn-vF1cTY4tQeStQFmU'

# 2. A code, as wx.login gives it; the simulator plays the phone of alice  取得 code（模拟 wx.login）
CODE=$(curl -s 'http://127.0.0.1:9080/_sim/code?appid=wx4f4bc4dec97d474b&person=alice' | sed 's/.*"code":"\([^"]*\)".*/\1/')

# 3. Code → session; user is null: not logged in yet  换取会话，user 为 null 表示尚未登录
TOKEN=$(curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=openid' -d "code=$CODE" | tee -a /dev/stderr | sed 's/.*"token":"\([^"]*\)".*/\1/')

# 4. Log in, with the password that was just given to ann  用账号密码登录
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=login' -H "Authorization: Bearer $TOKEN" -d 'method=password&account=ann' --data-urlencode 'password=correct horse'

# 5. … or by phone number (the code of getPhoneNumber)  或用手机号登录
PHONE=$(curl -s 'http://127.0.0.1:9080/_sim/phone_code?appid=wx4f4bc4dec97d474b&phone=13800138000' | sed 's/.*"code":"\([^"]*\)".*/\1/')
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=login' -H "Authorization: Bearer $TOKEN" -d "method=phone&phone_code=$PHONE"

# 6. Who am I; change the name  查看与修改用户信息
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=user' -H "Authorization: Bearer $TOKEN"
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=user' -H "Authorization: Bearer $TOKEN" --data-urlencode 'name=爱丽丝'

# 7. Next time, a=openid logs in by itself  下次打开，a=openid 自动登录
CODE=$(curl -s 'http://127.0.0.1:9080/_sim/code?appid=wx4f4bc4dec97d474b&person=alice' | sed 's/.*"code":"\([^"]*\)".*/\1/')
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=openid' -d "code=$CODE"

# 8. Log out  退出登录
curl -sS -w '\n' -X POST 'http://127.0.0.1:8080/srv/?f=manulife&a=logout' -H "Authorization: Bearer $TOKEN"

EOF
cat <<EOF
# 9. The web console: open it and sign in with this token, good for a day. What is changed there goes into tenants/.
#    网页控制台：打开后用此令牌登录（一天内有效）；在其中所做的修改会写入 tenants/
http://127.0.0.1:8081/
$admin

Readiness 就绪状态: http://127.0.0.1:8081/readyz    Ctrl-C ends the demo 结束演示
────────────────────────────────────────────────────────────────────────────

EOF
wait "$gateway"
