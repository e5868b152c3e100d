//! What a program behind the wall tries. System calls that no library offers as such are made by number.

#![expect(unsafe_code, reason = "what an attacker calls is what no safe library wraps")]

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Stop, scan};

/// An attempt whose preparations, from before the wall, are made.
pub struct Attempt {
    pub keep: Vec<RawFd>,
    pub act: Box<dyn FnOnce() -> io::Result<()>>,
}

fn attempt(act: impl FnOnce() -> io::Result<()> + 'static) -> Option<Attempt> {
    Some(Attempt { keep: Vec::new(), act: Box::new(act) })
}

/// A system call by number, with arguments as they are.
fn call(number: libc::c_long, arguments: [usize; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the arguments are numbers, null or point to what lives in the caller.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn call1(number: libc::c_long, argument: usize) -> io::Result<()> {
    call(number, [argument, 0, 0, 0, 0, 0]).map(drop)
}

/// A child, if there is one, ends at once and is waited for.
fn child(pid: i64) -> io::Result<()> {
    if pid == 0 {
        // SAFETY: ends the child without touching anything.
        unsafe { libc::_exit(0) }
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    Ok(())
}

fn parent() -> usize {
    std::os::unix::process::parent_id() as usize
}

/// Finds an attempt and prepares it.
pub fn prepare(name: &str, folder: &Path) -> Option<Attempt> {
    forbidden(name, folder).or_else(|| exhausting(name)).or_else(|| needed(name, folder))
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn forbidden(name: &str, folder: &Path) -> Option<Attempt> {
    let file = folder.join("file");
    let new = folder.join("new");
    let socket = folder.join("socket");
    let c_file = CString::new(file.to_str()?).ok()?;
    match name {
        "open" => attempt(move || File::open(file).map(drop)),
        "create" => attempt(move || File::create(new).map(drop)),
        "open-without-libc" => attempt(move || {
            // O_RDONLY is 0.
            call(libc::SYS_openat, [libc::AT_FDCWD as usize, c_file.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
        }),
        "openat2" => attempt(move || {
            let how = [0_u64; 3];
            let arguments =
                [libc::AT_FDCWD as usize, c_file.as_ptr() as usize, how.as_ptr() as usize, size_of_val(&how), 0, 0];
            call(libc::SYS_openat2, arguments).map(drop)
        }),
        "list" => attempt(|| fs::read_dir("/").map(drop)),
        "stat" => attempt(move || fs::metadata(file).map(drop)),
        "unlink" => attempt(move || fs::remove_file(file)),
        "rename" => attempt(move || fs::rename(file, new)),
        "symlink" => attempt(move || std::os::unix::fs::symlink(file, new)),
        "mkdir" => attempt(move || fs::create_dir(new)),
        "truncate" => attempt(move || call(libc::SYS_truncate, [c_file.as_ptr() as usize, 0, 0, 0, 0, 0]).map(drop)),
        "chmod" => attempt(move || fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))),
        "change-folder" => attempt(|| std::env::set_current_dir("/tmp")),
        "tcp-connect" => {
            let listener = TcpListener::bind("127.0.0.1:0").ok()?;
            let address = listener.local_addr().ok()?;
            let keep = vec![listener.as_raw_fd()];
            Some(Attempt { keep, act: Box::new(move || TcpStream::connect(address).map(|_| drop(listener))) })
        }
        "tcp-bind" => attempt(|| TcpListener::bind("127.0.0.1:0").map(drop)),
        "udp" => attempt(|| UdpSocket::bind("127.0.0.1:0").map(drop)),
        "unix-connect" => {
            let listener = UnixListener::bind(&socket).ok()?;
            let keep = vec![listener.as_raw_fd()];
            Some(Attempt { keep, act: Box::new(move || UnixStream::connect(socket).map(|_| drop(listener))) })
        }
        "abstract-connect" => {
            // The parent of this process listens: within one Landlock domain it would be allowed.
            let name = folder.to_str()?.to_owned();
            attempt(move || UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop))
        }
        "socketpair" => attempt(|| UnixStream::pair().map(drop)),
        "exec" => attempt(|| Err(Command::new("/bin/true").exec())),
        "spawn" => attempt(|| Command::new("/bin/true").status().map(drop)),
        // SAFETY: the child ends at once.
        "fork" => attempt(|| match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            pid => child(i64::from(pid)),
        }),
        "fork-without-libc" => attempt(|| child(call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0])?)),
        "thread" => attempt(|| std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().expect("to end"))),
        "ptrace" => attempt(|| call1(libc::SYS_ptrace, libc::PTRACE_TRACEME as usize)),
        "read-memory-of-parent" => attempt(|| call1(libc::SYS_process_vm_readv, parent())),
        "kill-parent" => attempt(|| call1(libc::SYS_kill, parent())),
        "kill-init" => attempt(|| call1(libc::SYS_kill, 1)),
        "kill-all" => attempt(|| call(libc::SYS_kill, [usize::MAX, 0, 0, 0, 0, 0]).map(drop)),
        "tgkill-parent" => attempt(|| call(libc::SYS_tgkill, [parent(), parent(), 0, 0, 0, 0]).map(drop)),
        "pidfd" => attempt(|| call1(libc::SYS_pidfd_open, parent())),
        "map-executable" => attempt(|| map(libc::PROT_READ | libc::PROT_EXEC).map(drop)),
        "make-executable" => attempt(|| {
            let address = map(libc::PROT_READ | libc::PROT_WRITE)?;
            let prot = (libc::PROT_READ | libc::PROT_EXEC) as usize;
            call(libc::SYS_mprotect, [address, 4096, prot, 0, 0, 0]).map(drop)
        }),
        "make-executable-with-key" => attempt(|| {
            let address = map(libc::PROT_READ | libc::PROT_WRITE)?;
            let prot = (libc::PROT_READ | libc::PROT_EXEC) as usize;
            call(libc::SYS_pkey_mprotect, [address, 4096, prot, usize::MAX, 0, 0]).map(drop)
        }),
        "personality" => attempt(|| call1(libc::SYS_personality, 0xffff_ffff)),
        "io-uring" => attempt(|| {
            let parameters = [0_u8; 120];
            call(libc::SYS_io_uring_setup, [1, parameters.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
        }),
        "bpf" => attempt(|| call1(libc::SYS_bpf, 0)),
        "userfaultfd" => attempt(|| call1(libc::SYS_userfaultfd, 0)),
        "perf" => attempt(|| call1(libc::SYS_perf_event_open, 0)),
        "keyctl" => attempt(|| call1(libc::SYS_keyctl, 0)),
        "load-module" => attempt(|| call1(libc::SYS_init_module, 0)),
        "mount" => attempt(|| call1(libc::SYS_mount, 0)),
        "chroot" => attempt(|| std::os::unix::fs::chroot("/")),
        "unshare" => attempt(|| call1(libc::SYS_unshare, libc::CLONE_NEWUSER as usize)),
        "setns" => attempt(|| call1(libc::SYS_setns, usize::MAX)),
        "setuid" => attempt(|| call1(libc::SYS_setuid, 0)),
        "debuggable-again" => {
            attempt(|| call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0]).map(drop))
        }
        "raise-a-limit" => attempt(|| {
            let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).map_err(io::Error::from)
        }),
        "memory-file" => {
            attempt(|| rustix::fs::memfd_create("x", MemfdFlags::CLOEXEC).map(drop).map_err(io::Error::from))
        }
        // Calls of x86_64's other two tables have other numbers, or a mark on them.
        #[cfg(target_arch = "x86_64")]
        "open-x32" => attempt(move || {
            let number = 0x4000_0000 | libc::SYS_openat;
            call(number, [libc::AT_FDCWD as usize, c_file.as_ptr() as usize, 0, 0, 0, 0]).map(drop)
        }),
        #[cfg(target_arch = "x86_64")]
        "call-of-i386" => attempt(|| {
            let mut pid: u64 = 20;
            // SAFETY: getpid of i386 takes nothing and changes nothing.
            unsafe {
                std::arch::asm!("int 0x80", inout("rax") pid, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
            };
            if pid == u64::from(std::process::id()) { Ok(()) } else { Err(io::Error::other("another answer")) }
        }),
        _ => None,
    }
}

fn map(protection: libc::c_int) -> io::Result<usize> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let address = call(libc::SYS_mmap, [0, 4096, protection as usize, flags, usize::MAX, 0])?;
    usize::try_from(address).map_err(io::Error::other)
}

fn exhausting(name: &str) -> Option<Attempt> {
    match name {
        "too-much-memory" => attempt(|| {
            black_box(vec![1_u8; 1 << 30]);
            Ok(())
        }),
        "too-much-memory-caught" => {
            attempt(|| Vec::<u8>::new().try_reserve(1 << 30).map_err(|_| rustix::io::Errno::NOMEM.into()))
        }
        "much-memory-in-small-pieces" => attempt(|| {
            let mut kept = Vec::new();
            for _ in 0..1_000_000 {
                kept.push(black_box(vec![1_u8; 1024]));
            }
            Ok(())
        }),
        // Ends after about two seconds of processor time where nothing stops it.
        "spin" => attempt(|| {
            let time = || rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec;
            while time() < 2 {
                black_box((0..100_000_u64).fold(0, |sum, n| sum ^ black_box(n)));
            }
            Ok(())
        }),
        "deep-stack" => attempt(|| {
            #[expect(unconditional_recursion, reason = "that is the attempt")]
            fn deeper(n: u64) -> u64 {
                let room = black_box([n; 512]);
                deeper(n.wrapping_add(1)).wrapping_add(black_box(room)[7])
            }
            black_box(deeper(0));
            Ok(())
        }),
        "abort" => attempt(|| std::process::abort()),
        "write-a-lot" => {
            let memory = memory_file()?;
            let keep = vec![memory.as_raw_fd()];
            Some(Attempt { keep, act: Box::new(move || memory.write_all_at(&[1; 200_000], 0)) })
        }
        "many-descriptors" => attempt(|| {
            let files: io::Result<Vec<File>> = (0..20).map(|_| File::open("/dev/null")).collect();
            files.map(drop)
        }),
        _ => None,
    }
}

fn memory_file() -> Option<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    rustix::fs::memfd_create("test", flags).ok().map(File::from)
}

/// What a worker does, which must work.
fn needed(name: &str, folder: &Path) -> Option<Attempt> {
    match name {
        "nothing" => attempt(|| Ok(())),
        "wait" => attempt(|| io::stdin().read(&mut [0]).map(drop)),
        "nothing-with-a-thread" => {
            std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)));
            attempt(|| Ok(()))
        }
        "allocate" => attempt(|| {
            let mut bytes = black_box(vec![1_u8; 100 << 20]);
            bytes.reserve(50 << 20);
            assert_eq!(bytes.iter().step_by(4096).map(|b| usize::from(*b)).sum::<usize>(), 25_600);
            Ok(())
        }),
        "hash-map" => attempt(|| {
            let map: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
            assert_eq!(black_box(map).len(), 10_000);
            Ok(())
        }),
        "panic" => attempt(|| {
            // As a worker does: the default hook would look for the source in files.
            std::panic::set_hook(Box::new(|_| ()));
            let nothing: Option<u8> = black_box(None);
            assert!(std::panic::catch_unwind(|| nothing.expect("something")).is_err());
            Ok(())
        }),
        "panic-and-tell" => attempt(|| {
            assert!(std::panic::catch_unwind(|| panic!("as ever")).is_err());
            Ok(())
        }),
        "clock" => attempt(|| {
            let start = std::time::Instant::now();
            assert!(start.elapsed().as_secs() < 60 && std::time::SystemTime::now().elapsed().is_ok());
            Ok(())
        }),
        "progress" => {
            let memory = memory_file()?;
            rustix::fs::ftruncate(&memory, 4096).ok()?;
            let keep = vec![memory.as_raw_fd()];
            Some(Attempt {
                keep,
                act: Box::new(move || {
                    memory.write_all_at(b"1.2", 4093)?;
                    let mut read = [0; 3];
                    memory.read_exact_at(&mut read, 4093)?;
                    assert_eq!(&read, b"1.2");
                    Ok(())
                }),
            })
        }
        "message" => message(folder),
        "inherited" => {
            // Without close-on-exec and forgotten, as whoever started the daemon might have left it.
            let forgotten = std::mem::ManuallyDrop::new(File::open("/dev/null").ok()?);
            let number = forgotten.as_raw_fd();
            attempt(move || {
                // SAFETY: fstat of a number that may not be open.
                let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
                rustix::fs::fstat(descriptor).map(drop).map_err(io::Error::from)
            })
        }
        _ => None,
    }
}

/// A message comes over the socket, sealed; it is scanned, and an answer goes back.
fn message(folder: &Path) -> Option<Attempt> {
    let (worker, daemon) = UnixStream::pair().ok()?;
    let message = fs::read(folder.join("file")).ok()?;
    let mut memory = memory_file()?;
    memory.write_all(&message).ok()?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW).ok()?;
    let files = [memory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
    rustix::net::sendmsg(&daemon, &[IoSlice::new(b"scan")], &mut ancillary, SendFlags::empty()).ok()?;
    drop(memory);
    let keep = vec![worker.as_raw_fd(), daemon.as_raw_fd()];
    let act = move || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut request = [0; 16];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&worker, &mut [IoSliceMut::new(&mut request)], &mut ancillary, flags)?;
        assert_eq!(received.bytes, 4);
        let sent: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            })
            .flatten()
            .collect();
        let mut memory = File::from(sent.into_iter().next().expect("a descriptor"));
        assert!(rustix::fs::fcntl_get_seals(&memory)?.contains(SealFlags::WRITE));
        let size = usize::try_from(rustix::fs::fstat(&memory)?.st_size).map_err(io::Error::other)?;
        memory.rewind()?;
        let mut bytes = Vec::with_capacity(size);
        memory.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len(), size);
        let report = scan(Input::message(bytes), &Limits::default(), &Knowledge::default(), &Stop::default());
        let answer = serde_json::to_vec(&report).map_err(io::Error::other)?;
        (&worker).write_all(&u64::try_from(answer.len()).map_err(io::Error::other)?.to_le_bytes())?;
        let mut length = [0; 8];
        (&daemon).read_exact(&mut length)?;
        assert!(u64::from_le_bytes(length) > 100);
        Ok(())
    };
    Some(Attempt { keep, act: Box::new(act) })
}
