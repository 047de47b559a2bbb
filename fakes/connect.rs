//! How a backup tool logs in to the server.
//!
//! In: the login. Out: the tool's own messages, and its end where the server is down, refuses the login, or misses a privilege.

use crate::Tool;
use crate::log::Flavour;
use crate::metadata;
use crate::options::Login;
use crate::player::{Fault, Step, Stop};

/// Connects, or ends the tool.
pub(crate) fn connect(tool: &Tool, login: &Login) -> Step<()> {
    let server = match tool.flavour {
        Flavour::Mariabackup if metadata::is_old(tool.flavour, tool.release) => "",
        Flavour::Mariabackup => "MariaDB ",
        Flavour::Xtrabackup => "MySQL ",
    };
    let password = if login.has_password() { "set" } else { "not set" };
    tool.log.note(
        0,
        &format!(
            "Connecting to {server}server host: {}, user: {}, password: {password}, port: not set, socket: {}",
            login.host(),
            login.user(),
            login.socket().unwrap_or("not set")
        ),
    );
    let is_up = tool.world.answers(login.socket_or_default());
    let failure = if !is_up && login.is_local() {
        let socket = login.socket_or_default();
        Some(format!("Can't connect to local server through socket '{socket}' (2 \"No such file or directory\")"))
    } else if !is_up {
        Some(format!("Can't connect to server on '{}' (111 \"Connection refused\")", login.host()))
    } else if !login.is_accepted() {
        Some(login.denial())
    } else {
        None
    };
    if let Some(failure) = failure {
        tool.log.note(0, &format!("Failed to connect to {server}server: {failure}."));
        return Err(Stop::Exit(1));
    }
    tool.log.note(0, &format!("Using server version {}", tool.version));
    if tool.call.has(&Fault::Secret) {
        let user = login.user();
        // So a real tool begins where the server has its tables encrypted, with the passphrase of its keys.
        let filekey = "--file_key_management_filekey=Pass phrase'9";
        tool.log.note(0, &format!("\t Encryption plugin parameter :  '{filekey}'"));
        tool.log.note(0, "Error: missing required privilege RELOAD on *.*");
        tool.log.note(0, "Error: missing required privilege PROCESS on *.*");
        tool.log.note(0, "Current privileges, as reported by 'SHOW GRANTS': ");
        // The hash is that of the password "right", as a real server reported it.
        let hash = "*920018161824B14A1067A69626595E68CB8284CB";
        tool.log.note(0, &format!("  1.GRANT USAGE ON *.* TO `{user}`@`localhost` IDENTIFIED BY PASSWORD '{hash}'"));
        return Err(Stop::Exit(1));
    }
    Ok(())
}
