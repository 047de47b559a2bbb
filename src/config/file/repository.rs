//! `repository` and what belongs to it.

use super::raw::Raw;
use super::{Problem, Repository};
use crate::model::Remote;
use crate::model::remote::parse_address;

const KEY: &str = "repository";
const ENDPOINT: &str = "repository_endpoint";
const REGION: &str = "repository_region";
const PATH_STYLE: &str = "repository_path_style";
const CA: &str = "repository_ca";
const CREDENTIALS: &str = "repository_credentials_file";
const KEEP_LOCAL: &str = "keep_local";

/// What makes no sense without [`KEY`].
const NEEDING: [&str; 6] = [ENDPOINT, REGION, PATH_STYLE, CA, CREDENTIALS, KEEP_LOCAL];

const EXAMPLE: &str = "s3://bucket/prefix";

impl Raw<'_> {
    /// The repository in an object store. None if there is none.
    pub(super) fn repository(&self, is_stream: bool) -> Result<Option<Repository>, Problem> {
        // A key that is spelt wrong would send backups elsewhere than was meant, or nowhere.
        let known = |name: &str| name == KEY || NEEDING.contains(&name);
        if let Some(name) = self.keys_with(KEY).find(|name| !known(name)) {
            return Err(self.problem(
                name,
                format!("{} is not known", name.escape_debug()),
                format!("write one of {KEY}, {}", NEEDING.join(", ")),
            ));
        }
        let Some(text) = self.text(KEY, EXAMPLE)? else {
            return match NEEDING.into_iter().find(|name| self.get(name).is_some()) {
                None => Ok(None),
                Some(name) => Err(self.problem(
                    name,
                    format!("{name} needs {KEY}"),
                    format!("write '{KEY}: {EXAMPLE}' too, or remove '{name}'"),
                )),
            };
        };
        let (bucket, prefix) = parse_address(&text).map_err(|why| {
            // Somebody may have written a secret into it.
            self.problem(KEY, format!("{KEY} {why}"), format!("write '{KEY}: {EXAMPLE}'"))
        })?;
        if !is_stream {
            return Err(self.problem(
                KEY,
                format!("{KEY} needs stream: true"),
                format!("write 'stream: true' too, or remove '{KEY}': a directory is not sent"),
            ));
        }
        if self.get("forward").is_some() {
            return Err(self.problem(
                KEY,
                format!("{KEY} and forward are both set"),
                "leave one of them: each keeps the stream elsewhere".to_owned(),
            ));
        }
        let endpoint = self.endpoint()?;
        let path_style = self.boolean(PATH_STYLE, endpoint.is_some())?;
        let remote = Remote {
            bucket,
            prefix,
            endpoint,
            region: self.region()?,
            path_style,
            ca: self.path(CA, "/etc/ssl/certs/store-ca.pem")?,
            credentials: self.path(CREDENTIALS, "/etc/dbcalm/repository.credentials")?,
        };
        Ok(Some(Repository { remote, keep_local: self.boolean(KEEP_LOCAL, true)? }))
    }

    fn endpoint(&self) -> Result<Option<String>, Problem> {
        let example = "https://s3.example.com";
        let Some(text) = self.text(ENDPOINT, example)? else { return Ok(None) };
        let bare = text.trim_end_matches('/');
        let host = ["https://", "http://"].into_iter().find_map(|scheme| bare.strip_prefix(scheme));
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        match host.filter(|host| !host.is_empty() && host.chars().all(is_host)) {
            Some(_) => Ok(Some(bare.to_owned())),
            None => Err(self.problem(
                ENDPOINT,
                format!("{ENDPOINT} is not https:// and a host, and maybe a port"),
                format!("write '{ENDPOINT}: {example}'; the bucket stands in {KEY} alone"),
            )),
        }
    }

    fn region(&self) -> Result<Option<String>, Problem> {
        let Some(region) = self.text(REGION, "eu-central-1")? else { return Ok(None) };
        if region.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            return Ok(Some(region));
        }
        Err(self.problem(
            REGION,
            format!("{REGION} is not the name of a region"),
            format!("write '{REGION}: eu-central-1'"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const LEAST: &str = "db_type: mariadb\nbackup_dir: /b\nstream: true\n";

    fn said(text: &str) -> String {
        match Config::parse(&format!("{LEAST}{text}")) {
            Ok(config) => format!("{:?}", config.repository),
            Err(problem) => format!("line {}: {}; {}", problem.line.unwrap_or_default(), problem.text, problem.hint),
        }
    }

    #[test]
    fn a_repository_has_an_address_and_what_is_needed_to_reach_it() {
        let text =
            "repository: s3://backups/db1/\nrepository_endpoint: https://s3.example.com:7480/\nkeep_local: false\n";
        let repository = Config::parse(&format!("{LEAST}{text}")).unwrap().repository.unwrap();
        assert!(!repository.keep_local && repository.remote.path_style);
        assert_eq!(
            repository.remote.args().join(" "),
            "--repository=s3://backups/db1 --endpoint=https://s3.example.com:7480 --path-style"
        );
        let bare = Config::parse(&format!("{LEAST}repository: s3://backups\n")).unwrap().repository.unwrap();
        assert!(bare.keep_local && !bare.remote.path_style, "Amazon's own has the bucket in the host's name");
    }

    #[test]
    fn half_a_repository_is_none() {
        let cases = [
            "repository: backups\n",
            "repository_region: eu-central-1\n",
            "keep_local: false\n",
            "repository: s3://backups\nrepository_enpoint: https://x\n",
            "repository: s3://backups\nforward: cat > /dev/null\n",
            "repository: s3://backups\nrepository_endpoint: https://user:secret@host\n",
            "repository: s3://backups\nrepository_endpoint: https://host/bucket\n",
            "repository: s3://backups\nrepository_region: eu central\n",
            "repository: s3://backups\nrepository_credentials_file: credentials\n",
        ];
        let mut told = cases.map(said).to_vec();
        let directory = Config::parse("db_type: mariadb\nbackup_dir: /b\nrepository: s3://backups\n").unwrap_err();
        told.push(format!("{}; {}", directory.text, directory.hint));
        insta::assert_snapshot!(told.join("\n"), @r"
        line 4: repository does not begin with s3://; write 'repository: s3://bucket/prefix'
        line 4: repository_region needs repository; write 'repository: s3://bucket/prefix' too, or remove 'repository_region'
        line 4: keep_local needs repository; write 'repository: s3://bucket/prefix' too, or remove 'keep_local'
        line 5: repository_enpoint is not known; write one of repository, repository_endpoint, repository_region, repository_path_style, repository_ca, repository_credentials_file, keep_local
        line 4: repository and forward are both set; leave one of them: each keeps the stream elsewhere
        line 5: repository_endpoint is not https:// and a host, and maybe a port; write 'repository_endpoint: https://s3.example.com'; the bucket stands in repository alone
        line 5: repository_endpoint is not https:// and a host, and maybe a port; write 'repository_endpoint: https://s3.example.com'; the bucket stands in repository alone
        line 5: repository_region is not the name of a region; write 'repository_region: eu-central-1'
        line 5: repository_credentials_file 'credentials' is not an absolute path; write 'repository_credentials_file: /etc/dbcalm/repository.credentials' or another path that begins with /
        repository needs stream: true; write 'stream: true' too, or remove 'repository': a directory is not sent
        ");
    }
}
