//! One child process: its output in a file, ended by its own process id, never left behind.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::{environment, reaper, wait};

/// How much of a log an error shows.
const TAIL_LINES: usize = 40;
/// A frozen process has stopped long before this.
const STOP_TIME: Duration = Duration::from_secs(10);

/// What to start and where its output goes. Starting it twice appends to the same log.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Names the process in errors and its log file: `NAME.log`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beside the little that [`environment::inherited`] passes on.
    pub env: Vec<(String, OsString)>,
    /// Working directory, and home of the log.
    pub directory: PathBuf,
}

impl Launch {
    /// A program without arguments.
    pub fn new(name: impl Into<String>, program: &Path, directory: &Path) -> Self {
        let (name, program, directory) = (name.into(), program.to_owned(), directory.to_owned());
        Self { name, program, args: Vec::new(), env: Vec::new(), directory }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// The file that gets both outputs.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    /// Starts it. It gets a process group of its own: Ctrl-C in a terminal reaches us alone, and we order the stop.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be run.
    pub fn start(&self) -> Result<Process> {
        let log = self.log_file();
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.directory).process_group(0);
        command.env_clear().envs(environment::inherited()).envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(copy_of(&output)?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {} ({})", self.name, self.program.display()))?;
        reaper::watch(child.id());
        Ok(Process { name: self.name.clone(), pid: child.id(), log, state: Mutex::new(State::Running(child)) })
    }
}

fn copy_of(file: &File) -> Result<File> {
    file.try_clone().context("duplicate the log's file descriptor")
}

/// A child process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    state: Mutex<State>,
}

/// A child whose end was seen must never be signalled again: its process id may be another's by then.
#[derive(Debug)]
enum State {
    Running(Child),
    Ended(ExitStatus),
}

impl Process {
    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything it has printed so far, both outputs in the order of writing.
    ///
    /// # Errors
    /// When the log file cannot be read.
    pub fn log(&self) -> Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last lines of the log, for an error.
    pub fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// How it ended; `None` while it runs. Never waits.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut state = self.lock();
        if let State::Running(child) = &mut *state
            && let Ok(Some(status)) = child.try_wait()
        {
            self.ended(&mut state, status);
        }
        match &*state {
            State::Running(_) => None,
            State::Ended(status) => Some(*status),
        }
    }

    /// Asks it to end (SIGTERM) and waits; returns the exit code.
    ///
    /// # Errors
    /// When it does not end before the deadline (it is killed then), or when a signal ended it, so that there is no
    /// exit code.
    pub async fn terminate(&self, deadline: Duration) -> Result<i32> {
        self.signal(Signal::SIGTERM)?;
        let ended =
            wait::eventually(format!("{} ends after SIGTERM", self.name), deadline, || async { self.exit_status() });
        let Ok(status) = ended.await else {
            self.kill();
            bail!(
                "{} did not end within {deadline:.1?} after SIGTERM and was killed; its log ends:\n{}",
                self.name,
                self.log_tail()
            );
        };
        status.code().with_context(|| format!("{} ended without an exit code: {status}", self.name))
    }

    /// Kills it at once (SIGKILL) and waits for its end. Does nothing when it has ended.
    pub fn kill(&self) {
        let mut state = self.lock();
        if let State::Running(child) = &mut *state {
            let _ = child.kill();
            if let Ok(status) = child.wait() {
                self.ended(&mut state, status);
            }
        }
    }

    /// Freezes it (SIGSTOP) and waits until every thread has stopped: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it has ended, or does not stop.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        // The signal is sent at once, but a thread stops only when it next passes through the kernel; until then it may still answer.
        let began = Instant::now();
        while !all_threads_stopped(self.pid())? {
            ensure!(began.elapsed() < STOP_TIME, "{} did not stop within {STOP_TIME:?}", self.name());
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Lets a frozen process go on (SIGCONT).
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(status) = self.exit_status() {
            bail!("{} has ended already ({status}); its log ends:\n{}", self.name, self.log_tail());
        }
        // Not reaped, so the process id is still its own: only `exit_status` and `kill` reap, under the same lock.
        let state = self.lock();
        if matches!(&*state, State::Running(_)) {
            let pid = Pid::from_raw(i32::try_from(self.pid).context("a process id fits into 31 bits")?);
            signal::kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))?;
        }
        Ok(())
    }

    fn ended(&self, state: &mut State, status: ExitStatus) {
        reaper::release(self.pid);
        *state = State::Ended(status);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether every thread of a process is stopped (state `T` in proc(5)).
fn all_threads_stopped(pid: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("list the threads")? {
        // A thread that ended meanwhile answers no more.
        let Ok(stat) = fs::read_to_string(thread.context("list the threads")?.path().join("stat")) else {
            continue;
        };
        // The name before the state is in parentheses and may hold any character.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if !matches!(state, Some('T' | 't')) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> (tempfile::TempDir, Process) {
        let directory = tempfile::tempdir().unwrap();
        let launch = Launch::new("shell", Path::new("/bin/sh"), directory.path()).args(["-c", script]);
        let process = launch.start().unwrap();
        (directory, process)
    }

    async fn printed(process: &Process, text: &str) {
        wait::eventually(text, DEADLINE, || async { process.log().map(|log| log.contains(text)) }).await.unwrap();
    }

    #[tokio::test]
    async fn both_outputs_are_in_the_log() {
        let (_directory, process) = shell("echo out; echo err >&2; exit 7");
        let status = wait::eventually("end", DEADLINE, || async { process.exit_status() }).await.unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(process.log().unwrap(), "out\nerr\n");
    }

    #[tokio::test]
    async fn terminate_returns_the_exit_code() {
        let (_directory, process) = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        printed(&process, "ready").await;
        assert_eq!(process.terminate(DEADLINE).await.unwrap(), 3);
        assert!(process.log().unwrap().ends_with("bye\n"));
    }

    #[tokio::test]
    async fn terminate_kills_what_does_not_listen_and_says_so() {
        let (_directory, process) = shell("trap '' TERM; echo deaf; while :; do sleep 0.01; done");
        printed(&process, "deaf").await;
        let error = process.terminate(Duration::from_millis(200)).await.unwrap_err().to_string();
        assert!(error.contains("was killed") && error.contains("deaf"), "{error}");
        assert!(process.exit_status().is_some());
    }

    #[tokio::test]
    async fn an_ended_process_is_not_signalled() {
        let (_directory, process) = shell("echo its last words");
        wait::eventually("end", DEADLINE, || async { process.exit_status() }).await.unwrap();
        let error = process.signal(Signal::SIGTERM).unwrap_err().to_string();
        assert!(error.contains("its last words"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_process_is_gone() {
        let (_directory, process) = shell("sleep 600");
        let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
        drop(process);
        assert!(signal::kill(pid, None).is_err(), "reaped, so the id is free");
    }

    #[test]
    fn only_what_is_given_is_in_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let launch = Launch::new("env", Path::new("/usr/bin/env"), directory.path()).env("KUBECONFIG", "/given");
        let process = launch.start().unwrap();
        while process.exit_status().is_none() {
            std::thread::yield_now();
        }
        let log = process.log().unwrap();
        assert!(log.contains("KUBECONFIG=/given") && !log.contains("CARGO"), "{log}");
    }
}
