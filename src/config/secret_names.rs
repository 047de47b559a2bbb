//! Which options hold a secret, by their names.
//!
//! In: an option's name, as any program writes it. Out: whether its value may be a secret. A list of the options of all servers,
//! plugins and tools would soon be out of date; but a name says it by how it ends: `password`, `file_key_management_filekey`,
//! `hashicorp_key_management_token`, `s3_secret_key`. What ends otherwise is none: `key_buffer_size`, `ssl-key` (a path), `old_passwords`.

/// How the names of secrets end, after a `-` or as the whole name.
const ENDINGS: [&str; 19] = [
    "access-key",
    "api-key",
    "authentication-string",
    "credential",
    "credentials",
    "decrypt-key",
    "encrypt-key",
    "encryption-key",
    "filekey",
    "passphrase",
    "passwd",
    "password",
    "psk",
    "pwd",
    "secret",
    "secret-key",
    "sst-auth",
    "token",
    "transition-key",
];

/// How the names of switches begin that end like a secret's.
const SWITCHES: [&str; 2] = ["generate-", "get-"];

/// Whether the option of this name holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.trim_start_matches(['-', '_']).to_ascii_lowercase().replace('_', "-");
    let ends = |ending: &&str| name.strip_suffix(*ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
    ENDINGS.iter().any(ends) && !SWITCHES.iter().any(|switch| name.starts_with(switch))
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    /// Names of MariaDB 10.11.19 and its plugins, of MySQL 8.4, and of the tools; Vault's and Amazon's by the documentation of MariaDB.
    #[test]
    fn a_name_says_whether_it_holds_a_secret() {
        for name in [
            "password",
            "--Password",
            "PASSWD",
            "report-password",
            "master_password",
            "file_key_management_filekey",
            "--loose-file-key-management-filekey",
            "hashicorp_key_management_token",
            "keyring_encrypted_file_password",
            "keyring_hashicorp_secret_id_secret",
            "s3_access_key",
            "s3-secret-key",
            "encrypt-key",
            "transition-key",
            "wsrep_sst_auth",
            "authentication_string",
            "MYSQL_PWD",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "",
            "-",
            "key",
            "old_passwords",
            "max-password-errors",
            "strict-password-validation",
            "key-buffer-size",
            "delay-key-write",
            "ssl-key",
            "encrypt-key-file",
            "file_key_management_filename",
            "file_key_management_encryption_algorithm",
            "aws_key_management_master_key_id",
            "hashicorp_key_management_vault_url",
            "innodb_default_encryption_key_id",
            "innodb_ft_max_token_size",
            "caching-sha2-password-private-key-path",
            "generate-transition-key",
            "get-server-public-key",
            "generate-new-master-key",
            "mypassword_x",
            "broken",
            "backup",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
