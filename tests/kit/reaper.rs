//! Ends our child processes when this process itself is ended without a chance to do so: Ctrl-C, a timeout of CI,
//! SIGKILL.
//!
//! A small shell reads our orders from a pipe. However we end, the pipe closes, and the shell kills what is still on
//! its list, by process id, and removes the directories of the run. A normal end stops everything itself; then the list
//! is empty.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex};

/// Reads `watch PID`, `release PID`, `remove DIRECTORY`. Deaf to the signals that end us, or it would not outlive us.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
watched=' '
directories=
while read -r order what; do
  case $order in
    watch) watched="$watched$what " ;;
    release) case $watched in *" $what "*) watched="${watched%% $what *} ${watched#* $what }" ;; esac ;;
    remove) directories="$directories$what
" ;;
  esac
done
for pid in $watched; do kill -9 "$pid" 2>/dev/null; done
printf %s "$directories" | while read -r directory; do rm -rf "$directory"; done
"#;

/// `None` when no shell could be started: then nothing but the safety net is missing.
static PIPE: LazyLock<Mutex<Option<ChildStdin>>> = LazyLock::new(|| Mutex::new(start(Stdio::null())));

fn start(stdout: Stdio) -> Option<ChildStdin> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::null()).process_group(0);
    command.spawn().ok()?.stdin.take()
}

/// Puts a child on the list.
pub(crate) fn watch(pid: u32) {
    order(&format!("watch {pid}"));
}

/// Takes a child that has ended off the list; its number may soon be another's.
pub(crate) fn release(pid: u32) {
    order(&format!("release {pid}"));
}

/// Has a directory removed at the end, whatever the end is.
pub(crate) fn remove(directory: &Path) {
    order(&format!("remove {}", directory.display()));
}

fn order(line: &str) {
    if let Some(pipe) = PIPE.lock().expect("no thread panics while it holds the pipe").as_mut() {
        let _ = writeln!(pipe, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Starts a reaper of its own, gives it orders and returns once it has ended.
    fn run(orders: &str) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(orders.as_bytes()).unwrap();
        let mut nothing = String::new();
        shell.stdout.take().unwrap().read_to_string(&mut nothing).unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn kills_what_is_watched_and_spares_what_was_released() {
        let mut sleepers: Vec<_> = (0..3).map(|_| Command::new("sleep").arg("600").spawn().unwrap()).collect();
        let [first, second, third] = [0, 1, 2].map(|index: usize| sleepers[index].id());
        run(&format!("watch {first}\nwatch {second}\nwatch {third}\nrelease {second}\n"));
        assert!(!sleepers[0].wait().unwrap().success());
        assert!(!sleepers[2].wait().unwrap().success());
        assert!(sleepers[1].try_wait().unwrap().is_none(), "released, so it lives on");
        sleepers[1].kill().unwrap();
        sleepers[1].wait().unwrap();
    }

    #[test]
    fn removes_directories_with_blanks_in_their_names() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a run");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("log"), "text").unwrap();
        run(&format!("remove {}\n", directory.display()));
        assert!(!directory.exists());
        assert!(parent.path().exists());
    }
}
