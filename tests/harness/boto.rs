//! A client of S3 that is not ours: boto3, by `boto.py`, in a process that lives as long as its handle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::bucket::Login;
use super::{program, skip};

/// The process, and its two ends.
pub(crate) struct Boto {
    process: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What a store answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The HTTP status; 0 if there was no answer.
    pub(crate) status: u64,
    /// The code of an error, as the store says it, or, if there was no answer, what boto3 calls that.
    pub(crate) code: Option<String>,
    /// All that boto3 gives, by its names; a body as text, a byte a letter.
    pub(crate) said: Value,
}

impl Boto {
    /// Starts one. None, and a skip: no boto3 is here.
    pub(crate) fn start() -> Option<Self> {
        let python = python()?;
        let mut process = program(python)
            .args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/boto.py")])
            // No settings and proxies of whoever runs the tests.
            .env_clear()
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Some(Self { process, asks, answers })
    }

    /// Asks for an operation by boto3's name of it; `Bucket` is among the arguments anyway.
    pub(crate) fn ask(&mut self, login: &Login, op: &str, args: Value) -> Answer {
        self.request(login, op, args, json!({}))
    }

    /// The same with a body, which is this text so many times.
    pub(crate) fn send(&mut self, login: &Login, op: &str, args: Value, text: &str, times: usize) -> Answer {
        self.request(login, op, args, json!({"body": text, "size": times}))
    }

    /// The same with a body that is signed, and another that is sent.
    pub(crate) fn exchange(&mut self, login: &Login, op: &str, args: Value, signed: &str, sent: &str) -> Answer {
        self.request(login, op, args, json!({"body": signed, "sent": sent}))
    }

    /// Every key, with the length of its object in bytes.
    pub(crate) fn keys(&mut self, login: &Login) -> BTreeMap<String, u64> {
        let mut keys = BTreeMap::new();
        let mut args = json!({});
        loop {
            let page = self.ask(login, "list_objects_v2", args.clone());
            assert_eq!(page.status, 200, "{page:?}");
            for object in page.said["Contents"].as_array().into_iter().flatten() {
                keys.insert(object["Key"].as_str().unwrap().to_owned(), object["Size"].as_u64().unwrap());
            }
            if page.said["IsTruncated"] == false {
                return keys;
            }
            args = json!({"ContinuationToken": page.said["NextContinuationToken"]});
        }
    }

    /// An object's bytes. None if there is no such key.
    pub(crate) fn read(&mut self, login: &Login, key: &str) -> Option<Vec<u8>> {
        let got = self.ask(login, "get_object", json!({"Key": key}));
        assert!(matches!(got.status, 200 | 404), "{got:?}");
        let text = got.said["Body"].as_str()?;
        Some(text.chars().map(|letter| u8::try_from(letter).unwrap()).collect())
    }

    /// Gets an object, which is there, into a file.
    pub(crate) fn fetch(&mut self, login: &Login, key: &str, into: &Path) {
        let got = self.request(login, "get_object", json!({"Key": key}), json!({"into": into}));
        assert_eq!(got.status, 200, "{got:?}");
    }

    /// The keys of the multipart uploads that are left open, in their order; of a thousand at most.
    pub(crate) fn uploads(&mut self, login: &Login) -> Vec<String> {
        let open = self.ask(login, "list_multipart_uploads", json!({}));
        assert_eq!(open.status, 200, "{open:?}");
        let uploads = open.said["Uploads"].as_array().into_iter().flatten();
        uploads.map(|upload| upload["Key"].as_str().unwrap().to_owned()).collect()
    }

    /// The same as [`Self::send`] by so many at the same moment; gives the codes of those that failed, and how often each came, and how many did not fail.
    pub(crate) fn race(
        &mut self,
        login: &Login,
        op: &str,
        args: Value,
        text: &str,
        many: usize,
    ) -> BTreeMap<String, usize> {
        let all = self.request(login, op, args, json!({"body": text, "at_once": many}));
        let mut counts = BTreeMap::new();
        for one in all.said["answers"].as_array().unwrap() {
            *counts.entry(one["code"].as_str().unwrap_or("done").to_owned()).or_default() += 1;
        }
        counts
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is made by a macro at the call")]
    fn request(&mut self, login: &Login, op: &str, args: Value, more: Value) -> Answer {
        let Login { endpoint, region, bucket, key, secret } = login;
        let login = json!({"endpoint": endpoint, "region": region, "bucket": bucket, "key": key, "secret": secret});
        let mut request = json!({"login": login, "op": op, "args": args});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        writeln!(self.asks.as_mut().unwrap(), "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{op} by boto3: {why}: {line:?}"));
        Answer { status: said["status"].as_u64().unwrap(), code: said["code"].as_str().map(str::to_owned), said }
    }
}

impl Drop for Boto {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.asks.take());
        let _ = self.process.wait();
    }
}

/// The Python that has boto3: the one that `DBCALM_TEST_PYTHON` names, or that of `ci/setup python`.
fn python() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python/bin/python");
    let python = std::env::var_os("DBCALM_TEST_PYTHON").map_or(beside, PathBuf::from);
    let look = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('boto3'))";
    let has_it = program(&python).args(["-c", look]).output().is_ok_and(|said| said.status.success());
    if !has_it {
        skip(&format!("no boto3 for '{}' (run ci/setup python, or set DBCALM_TEST_PYTHON)", python.display()));
    }
    has_it.then_some(python)
}
