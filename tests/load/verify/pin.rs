//! Which core does what: servers on one, the generator on another, so that neither takes time from the other.

use anyhow::{Result, ensure};

/// One core for whatever is measured, one for what measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) servers: usize,
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// With fewer than two, or where the kernel has no affinity: then nothing can be told from the figures.
    pub(crate) fn choose() -> Result<Self> {
        let allowed = system::allowed()?;
        ensure!(allowed.len() >= 2, "this benchmark needs two cores; it may use {}", allowed.len());
        Ok(Self { servers: allowed[0], generator: allowed[1] })
    }
}

/// Binds this thread, and every thread and process that it starts from now on, to one core. A started program that asks how many cores it
/// has is told one, so it runs one worker.
pub(crate) fn this_thread(core: usize) -> Result<()> {
    system::bind(core)
}

#[cfg(target_os = "linux")]
mod system {
    use anyhow::{Context, Result};
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// Stands for the calling thread.
    const THIS_THREAD: Pid = Pid::from_raw(0);

    pub(super) fn allowed() -> Result<Vec<usize>> {
        let set = sched_getaffinity(THIS_THREAD).context("ask which cores may be used")?;
        Ok((0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect())
    }

    pub(super) fn bind(core: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(core)
            .and_then(|()| sched_setaffinity(THIS_THREAD, &set))
            .with_context(|| format!("bind to core {core}"))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use anyhow::{Result, bail};

    pub(super) fn allowed() -> Result<Vec<usize>> {
        bail!("this benchmark needs Linux: it binds to cores and reads /proc")
    }

    pub(super) fn bind(_: usize) -> Result<()> {
        bail!("this benchmark needs Linux: it binds to cores and reads /proc")
    }
}
