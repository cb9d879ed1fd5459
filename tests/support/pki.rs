//! Certificates for tests: an authority, what it vouches for, and some that are bad in one way each.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::TempDir;

/// A folder with PEM files: `NAME.pem` and `NAME.key` for each certificate.
///
/// `ca` vouches for `server`, `client`, `expired` (over since long) and `elsewhere` (for another name); `stranger`
/// is an authority that nobody trusts, and vouches for `forged`.
pub struct Pki {
    folder: TempDir,
}

impl Pki {
    pub fn new() -> Self {
        let pki = Pki { folder: TempDir::new() };
        let here = ["127.0.0.1", "localhost"];
        let ca = pki.authority("ca");
        let stranger = pki.authority("stranger");
        pki.signed("server", &here, false, &ca);
        pki.signed("client", &["client.test"], false, &ca);
        pki.signed("expired", &here, true, &ca);
        pki.signed("elsewhere", &["elsewhere.test"], false, &ca);
        pki.signed("forged", &here, false, &stranger);
        pki
    }

    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        self.write(name, &certificate.pem(), &key);
        Issuer::new(params, key)
    }

    fn signed(&self, name: &str, hosts: &[&str], expired: bool, by: &Issuer<KeyPair>) {
        let mut params = named(name, hosts);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A server's gateway is its own client.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, by).expect("a certificate");
        self.write(name, &certificate.pem(), &key);
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) {
        std::fs::write(self.certificate(name), certificate).expect("room");
        std::fs::write(self.key(name), key.serialize_pem()).expect("room");
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params
}
