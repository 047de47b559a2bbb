//! A store behind TLS: what is trusted, what is not, and what is said of it.

use insta::assert_snapshot;

use super::{chain, checked, keeping_in, restored};
use crate::cli::stdout;
use crate::harness::TestEnv;
use crate::harness::bucket::Bucket;
use crate::harness::tls::{Authority, Flaw, Tls};

/// A machine whose store has a certificate of `signs`, and that trusts `trusts`, not yet started.
fn machine(bucket: &Bucket, tls: &Tls, trusts: Option<&Authority>) -> TestEnv {
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.login().by(&tls.endpoint()), false);
    if let Some(authority) = trusts {
        let file = env.path("store-ca.pem");
        authority.write(&file);
        env.set("repository_ca", &file.display().to_string());
    }
    env
}

/// `check`'s lines of the repository, without the number of the port and times.
fn said(env: &TestEnv, tls: &Tls) -> String {
    // How long a certificate is wrong already, in seconds.
    let mut said = checked(env).replace(&tls.endpoint(), "https://[STORE]");
    let numbers = said.split(|c: char| !c.is_ascii_digit()).filter(|number| number.len() > 4).map(str::to_owned);
    for number in numbers.collect::<Vec<_>>() {
        said = said.replacen(&number, "[TIME]", 1);
    }
    said
}

#[test]
fn a_store_whose_authority_is_named_is_used_by_tls_alone() {
    let bucket = Bucket::start();
    let authority = Authority::new("the store's own");
    for flaw in [Flaw::None, Flaw::OldProtocol] {
        let tls = Tls::before(&bucket.login().endpoint, &authority, flaw);
        let env = machine(&bucket, &tls, Some(&authority));
        env.start_daemon();
        assert!(checked(&env).starts_with("ok       the repository s3://dbcalm-backups/db1 can be reached"));
        chain(&env);
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
        stdout(&env, 0, "verify --all");
        let (old, new) = tls.agreed();
        assert_eq!((old > 0, new > 0), (flaw == Flaw::OldProtocol, flaw == Flaw::None));
        stdout(&env, 0, "remove full-1 --chain --yes");
        assert!(bucket.keys().is_empty());
    }
}

/// The system's own list of authorities, in the place that the environment names.
#[test]
fn an_authority_of_the_systems_is_trusted_without_a_setting() {
    let bucket = Bucket::start();
    let authority = Authority::new("the system's");
    let tls = Tls::before(&bucket.login().endpoint, &authority, Flaw::None);
    let env = machine(&bucket, &tls, None);
    let file = env.path("system.pem");
    authority.write(&file);
    let mut command = env.command();
    command.env("SSL_CERT_FILE", &file);
    env.start_as(command);
    env.full("full-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
}

#[test]
fn a_certificate_that_is_not_right_is_refused_at_once_and_said() {
    let bucket = Bucket::start();
    let (authority, other) = (Authority::new("the store's own"), Authority::new("another"));
    let cases = [
        ("of another authority", Flaw::None, Some(&other)),
        ("of nobody that is known", Flaw::None, None),
        ("of another host", Flaw::OtherName, Some(&authority)),
        ("expired", Flaw::Expired, Some(&authority)),
        ("not yet valid", Flaw::NotYet, Some(&authority)),
    ];
    let mut told = String::new();
    for (what, flaw, trusts) in cases {
        let tls = Tls::before(&bucket.login().endpoint, &authority, flaw);
        let env = machine(&bucket, &tls, trusts);
        env.start_daemon();
        told.extend([what, ":\n", &said(&env, &tls), "\n"]);
        let before = tls.connections();
        env.full("full-1");
        env.expect_log("backup failed");
        assert_eq!(env.newest("status"), "failed");
        assert_eq!(tls.connections() - before, 1, "{what}: it is no other a moment later");
        assert_eq!(tls.agreed(), (0, 0));
    }
    assert!(bucket.keys().is_empty());
    assert_snapshot!(told, @r#"
    of another authority:
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: invalid peer certificate: UnknownIssuer (name the store's authority in repository_ca, or use the name that its certificate has)
             hint: no backup can be taken until this is mended: docs/offsite.md
    of nobody that is known:
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: invalid peer certificate: UnknownIssuer (name the store's authority in repository_ca, or use the name that its certificate has)
             hint: no backup can be taken until this is mended: docs/offsite.md
    of another host:
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("elsewhere.example") (name the store's authority in repository_ca, or use the name that its certificate has)
             hint: no backup can be taken until this is mended: docs/offsite.md
    expired:
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: invalid peer certificate: certificate expired: verification time [TIME] (UNIX), but certificate is not valid after [TIME] ([TIME] seconds ago) (renew the store's certificate, or set this machine's clock)
             hint: no backup can be taken until this is mended: docs/offsite.md
    not yet valid:
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: invalid peer certificate: certificate not valid yet: verification time [TIME] (UNIX), but certificate is not valid before [TIME] ([TIME] seconds in future) (renew the store's certificate, or set this machine's clock)
             hint: no backup can be taken until this is mended: docs/offsite.md
    "#);
}

/// Each end speaks what the other does not.
#[test]
fn a_store_without_tls_is_no_store_with_it() {
    let bucket = Bucket::start();
    let authority = Authority::new("the store's own");
    let tls = Tls::before(&bucket.login().endpoint, &authority, Flaw::None);
    let mut env = machine(&bucket, &tls, Some(&authority));
    env.set("repository_endpoint", &bucket.login().endpoint.replace("http:", "https:"));
    env.start_daemon();
    let port = |text: String| text.replace(bucket.login().endpoint.trim_start_matches("http://"), "[STORE]");
    assert_snapshot!(port(checked(&env)), @r"
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store cannot be reached: received corrupt message of type InvalidContentType (the store does not speak TLS there: mend repository_endpoint)
             hint: no backup can be taken until this is mended: docs/offsite.md
    ");
    env.set("repository_endpoint", &tls.endpoint().replace("https:", "http:"));
    assert_snapshot!(said(&env, &tls), @r"
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store's answer broke off: invalid HTTP version parsed (it may be that the store speaks TLS there: repository_endpoint begins with http://)
             hint: no backup can be taken until this is mended: docs/offsite.md
    ");
}

/// No certificate is trusted that is in a file without one.
#[test]
fn a_file_of_authorities_that_has_none_is_a_mistake() {
    let bucket = Bucket::start();
    let authority = Authority::new("the store's own");
    let tls = Tls::before(&bucket.login().endpoint, &authority, Flaw::None);
    let env = machine(&bucket, &tls, Some(&authority));
    let (file, mut told) = (env.path("store-ca.pem"), String::new());
    for text in ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, text).unwrap();
        let said = checked(&env);
        assert!(said.starts_with("problem") && said.contains("store-ca.pem' "), "{text:?}: {said}");
        told += said.lines().next().unwrap().split_once("store-ca.pem' ").unwrap().1;
        told += "\n";
    }
    assert_snapshot!(told, @r"
    has no certificates
    has no certificates
    has no certificate in its place 1: invalid peer certificate: BadEncoding
    ");
    std::fs::remove_file(&file).unwrap();
    assert!(checked(&env).contains("store-ca.pem' cannot be read"), "{}", checked(&env));
    assert_eq!(tls.connections(), 0);
}
