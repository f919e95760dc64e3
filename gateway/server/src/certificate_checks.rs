//! What is wrong with a certificate that could be loaded, or will be soon: validity, order of the chain, shared names.

use menlou_error::text::Text;
use rustls::pki_types::CertificateDer;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use x509_cert::{
    Certificate, TbsCertificate,
    der::{DateTime, Decode},
};

/// Time before its end at which the end of a certificate becomes a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// A finding about a certificate file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFinding {
    /// The file.
    pub file: PathBuf,
    /// Whether clients reject the certificate now. Otherwise it is a warning.
    pub is_rejected: bool,
    /// What is wrong, and what to do.
    pub text: Text,
}

/// Validity of a certificate file, with the findings about it.
#[derive(Clone, Debug)]
pub struct CertificateStatus {
    /// The file.
    pub file: PathBuf,
    /// When the first certificate of the file ends, in Unix time.
    pub expires_at: Duration,
    /// Each certificate of the file, from the server's to the last issuer.
    validities: Vec<(Duration, Duration)>,
    /// Findings that do not depend on the time.
    findings: Vec<CertificateFinding>,
}

impl CertificateStatus {
    /// Reads the certificates of a file, the server's own first if `is_chain`; otherwise their order is free.
    ///
    /// # Errors
    /// A certificate that is not valid DER, with the parser's reason.
    pub fn read(file: &Path, certificates: &[CertificateDer<'_>], is_chain: bool) -> Result<Self, String> {
        let parsed: Result<Vec<_>, _> = certificates.iter().map(|der| Certificate::from_der(der)).collect();
        let parsed = parsed.map_err(|e| e.to_string())?;
        let parsed: Vec<&TbsCertificate> = parsed.iter().map(Certificate::tbs_certificate).collect();
        let validities = parsed.iter().map(|certificate| {
            let validity = certificate.validity();
            (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration())
        });
        let validities: Vec<_> = validities.collect();
        let in_order = parsed.windows(2).all(|pair| pair[0].issuer() == pair[1].subject());
        let mut status = Self {
            file: file.to_owned(),
            expires_at: validities.iter().map(|(_, end)| *end).min().unwrap_or_default(),
            validities,
            findings: Vec::new(),
        };
        if is_chain && !in_order {
            status.findings.push(status.warning(Text::fixed(
                "证书链的顺序不对：每个证书之后应是签发它的证书，服务器证书在最前；有些客户端会拒绝",
                "the certificates are not in order: the server's comes first, and each is followed by its issuer; some \
                 clients reject this chain",
            )));
        }
        Ok(status)
    }

    /// Adds that these names are in a file before this one, whose certificate is the one that is used.
    pub fn shadowed_by(&mut self, earlier: &Path, names: &[String]) {
        let (earlier, names) = (earlier.display(), names.join(", "));
        self.findings.push(self.warning(Text::new(
            format!("{names} 也在 {earlier} 中：两个证书有相同的域名时只用先列出的那个"),
            format!("{names} is also in {earlier}: of two certificates for a name, only the first one is used"),
        )));
    }

    /// The findings at this time (Unix time).
    pub fn findings(&self, now: Duration) -> Vec<CertificateFinding> {
        let of_validity = self.validities.iter().find_map(|(begin, end)| self.validity_finding(now, *begin, *end));
        of_validity.into_iter().chain(self.findings.iter().cloned()).collect()
    }

    fn validity_finding(&self, now: Duration, begin: Duration, end: Duration) -> Option<CertificateFinding> {
        if now < begin {
            let date = date(begin);
            let text = Text::new(
                format!("证书从 {date} 起才有效：检查本机时间，或换用已生效的证书"),
                format!(
                    "the certificate is not valid before {date}: check the clock of this machine, or use another one"
                ),
            );
            return Some(CertificateFinding { is_rejected: true, ..self.warning(text) });
        }
        if now > end {
            let date = date(end);
            let text = Text::new(
                format!("证书已于 {date} 过期：请更换"),
                format!("the certificate expired on {date}: replace it"),
            );
            return Some(CertificateFinding { is_rejected: true, ..self.warning(text) });
        }
        let days = (end - now).as_secs() / (24 * 3600);
        (end - now < EXPIRY_WARNING).then(|| {
            let date = date(end);
            self.warning(Text::new(
                format!("证书将于 {date} 过期（还有 {days} 天）：请及时更换"),
                format!("the certificate expires on {date}, in {days} days: replace it in time"),
            ))
        })
    }

    fn warning(&self, text: Text) -> CertificateFinding {
        CertificateFinding { file: self.file.clone(), is_rejected: false, text }
    }
}

/// `2026-12-01`, in UTC.
fn date(time: Duration) -> String {
    // Times beyond the year 9999 are not valid in a certificate.
    let date = DateTime::from_unix_duration(time).unwrap_or(DateTime::INFINITY);
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    /// For a.example, valid from 2026-12-01 05:52:17 to 2027-03-01 05:52:17 UTC, signed by [`ISSUER`].
    const LEAF: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBiDCCAS2gAwIBAgIUEfVnD9H2Fjy7Kw8qICxaOIi3cMUwCgYIKoZIzj0EAwIw\n\
DTELMAkGA1UEAwwCQ0EwHhcNMjYxMjAxMDU1MjE3WhcNMjcwMzAxMDU1MjE3WjAP\n\
MQ0wCwYDVQQDDARob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEv3rqzeUD\n\
F5NqRE/7cRtFpYHre4WoZpVvdGqnDqZjQj2qhfe6IuB/QZ1Z6DhGg6w3RWUoXnbN\n\
DmXY3hRgmFw1U6NpMGcwHQYDVR0OBBYEFLb77FX/tmk6X8t1CyJJWOnVzdxoMB8G\n\
A1UdIwQYMBaAFOXgP4H57wVAOwK0+cUQCJbGUKFsMA8GA1UdEwEB/wQFMAMBAf8w\n\
FAYDVR0RBA0wC4IJYS5leGFtcGxlMAoGCCqGSM49BAMCA0kAMEYCIQCJjqxYwr/U\n\
61BZOBXfEsn/+qCPQ9kxYi9xXkuFAAhFQgIhAJffNKfc3pQzj7cvn+nlrXMfjHs3\n\
6dxlyw2kV0C9GUuL\n\
-----END CERTIFICATE-----\n\n";
    const ISSUER: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBbjCCARWgAwIBAgIUD1uMHSSqmAEakAAVUrHMf45YP0cwCgYIKoZIzj0EAwIw\n\
DTELMAkGA1UEAwwCQ0EwHhcNMjYxMjAxMDU1MjE3WhcNMzYxMTI4MDU1MjE3WjAN\n\
MQswCQYDVQQDDAJDQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABL2bxArzyxQ0\n\
rwUOW0Q2FjgDYHzekIgRderI/+9DZlcHLipC7sXaEh6uy58cA384k05nisFHBWut\n\
CQ/tmIiGnGKjUzBRMB0GA1UdDgQWBBTl4D+B+e8FQDsCtPnFEAiWxlChbDAfBgNV\n\
HSMEGDAWgBTl4D+B+e8FQDsCtPnFEAiWxlChbDAPBgNVHRMBAf8EBTADAQH/MAoG\n\
CCqGSM49BAMCA0cAMEQCIEXQ7BCryfw0D1LEicAVwsGJ2XvTuNtorajvnYRqLdBm\n\
AiAMaa7/AH8lOgJp6bu2aYJleA137dQXgLGpNjLtRLILZw==\n\
-----END CERTIFICATE-----\n\n";

    const DAY: u64 = 24 * 3600;
    const BEGIN: u64 = 1_796_104_337;

    fn status(pem: &str) -> CertificateStatus {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
        CertificateStatus::read(Path::new("a.pem"), &chain, true).unwrap()
    }

    fn findings(pem: &str, now: u64) -> Vec<(bool, String)> {
        let findings = status(pem).findings(Duration::from_secs(now));
        findings.into_iter().map(|finding| (finding.is_rejected, finding.text.en.into_owned())).collect()
    }

    #[test]
    fn validity_is_checked_against_the_clock() {
        let chain = format!("{LEAF}{ISSUER}");
        for (now, expected) in [
            (BEGIN - DAY, Some((true, "the certificate is not valid before 2026-12-01: "))),
            (BEGIN + DAY, None),
            (BEGIN + 59 * DAY, None),
            (BEGIN + 61 * DAY, Some((false, "the certificate expires on 2027-03-01, in 29 days: "))),
            (BEGIN + 91 * DAY, Some((true, "the certificate expired on 2027-03-01: "))),
        ] {
            let found = findings(&chain, now);
            match expected {
                None => assert_eq!(found, [], "{now}"),
                Some((is_rejected, text)) => {
                    assert!(found.len() == 1 && found[0].0 == is_rejected && found[0].1.starts_with(text), "{found:?}");
                }
            }
        }
        assert_eq!(status(&chain).expires_at.as_secs(), BEGIN + 90 * DAY, "the earliest end counts");
    }

    #[test]
    fn chain_in_the_wrong_order_and_shared_names_are_warnings() {
        let found = findings(&format!("{ISSUER}{LEAF}"), BEGIN + DAY);
        assert!(found.len() == 1 && !found[0].0 && found[0].1.contains("not in order"), "{found:?}");
        let mut status = status(LEAF);
        status.shadowed_by(Path::new("first.pem"), &["a.example".into()]);
        let found = status.findings(Duration::from_secs(BEGIN + DAY));
        assert!(found.len() == 1 && found[0].text.en.starts_with("a.example is also in first.pem"), "{found:?}");
    }
}
