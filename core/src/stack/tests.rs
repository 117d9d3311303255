use super::class::StackStats;
use super::slab::find;
use super::*;
use crate::sys;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};

/// Tests that look at process-wide numbers, or unmap everything, take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// Runs one ignored test of this file in a process of its own; its status and what it wrote to stderr.
pub fn in_child(test: &str, env: &[(&str, &str)]) -> (std::process::ExitStatus, String) {
    let out = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("stack::{test}"), "--ignored", "--nocapture", "--test-threads=1"])
        .envs(env.iter().copied())
        .output()
        .unwrap();
    (out.status, String::from_utf8_lossy(&out.stderr).into_owned())
}

pub fn passes_in_child(test: &str, env: &[(&str, &str)]) {
    let (status, err) = in_child(test, env);
    assert!(status.success(), "{test}: {status}\n{err}");
}

fn write(at: *mut u8) {
    // SAFETY: the tests write where they have a stack; or to a guard, in order to die.
    unsafe { at.write_volatile(1) }
}

#[test]
fn a_handle_is_one_word_and_none_is_none() {
    assert_eq!(size_of::<Stack>(), size_of::<usize>());
    assert!(Stack::none().is_none());
    assert_eq!(Stack::none().size(), 0);
    assert_eq!(Stack::none().used(), 0);
}

#[test]
fn a_stack_is_usable_from_top_to_bottom() {
    let _turn = turn();
    let s = get_sized(64 * 1024).unwrap();
    assert_eq!(s.size(), 64 * 1024);
    assert_eq!(s.top() as usize % 16, 0);
    assert_eq!(s.bottom() as usize, s.base() + 16 * 1024);
    assert!(s.contains(s.top() as usize - 8) && !s.contains(s.base()));
    for at in s.bottom() as usize..s.top() as usize {
        write(at as *mut u8);
    }
    assert_eq!(s.used(), 48 * 1024);
    put_sized(s);
}

/// A page of page tables describes 2 MiB where pages have 4 KiB.
#[test]
fn a_large_stack_and_the_guard_above_it_share_a_page_of_page_tables() {
    let _turn = turn();
    let reach = sys::page_size() * sys::page_size() / 8;
    for size in [reach, 4 * reach] {
        let s = get_sized(size).unwrap();
        let last = s.top() as usize - 1;
        let above = s.base() + s.size();
        assert_eq!(last / reach, (above + guard::size()) / reach);
        write(s.bottom());
        write(last as *mut u8);
        assert!(faults(s.base()) && find(s.base()).is_some());
        put_sized(s);
    }
}

#[test]
fn neighbours_have_tops_of_different_colour() {
    let _turn = turn();
    let all: Vec<Stack> = (0..32).map(|_| get_sized(32 * 1024).unwrap()).collect();
    let colours: HashSet<usize> = all.iter().map(|s| s.top() as usize % 4096).collect();
    assert!(colours.len() >= 16, "{colours:?}");
    all.into_iter().for_each(put_sized);
}

#[test]
fn sizes_are_rounded_up_and_checked() {
    let _turn = turn();
    assert_eq!(get_sized(MIN_SIZE - 1), Err(Error(libc::EINVAL)));
    assert_eq!(get_sized(MAX_SIZE + 1), Err(Error(libc::EINVAL)));
    assert_eq!(get_sized(usize::MAX), Err(Error(libc::EINVAL)));
    for (asked, given) in [(16, 32), (32, 32), (33, 64), (100, 128), (8192, 8192)] {
        let s = get_sized(asked * 1024).unwrap();
        assert_eq!(s.size(), given * 1024);
        assert!(s.top() as usize - s.bottom() as usize >= MIN_SIZE - 2048);
        write(s.bottom());
        put_sized(s);
    }
}

#[test]
fn configuring() {
    passes_in_child("tests::child_configures_64_kib", &[]);
    passes_in_child("tests::child_configures_too_late", &[]);
}

#[test]
#[ignore = "needs a process of its own; run by `configuring`"]
fn child_configures_64_kib() {
    assert_eq!(configure(MIN_SIZE - 1), Err(Invalid));
    assert_eq!(configure(MAX_SIZE + 1), Err(Invalid));
    assert_eq!(configure(40_000), Ok(()));
    assert_eq!(configure(65_536), Ok(()));
    assert_eq!(configure(65_537), Err(Invalid));
    assert_eq!(default_size(), 65_536);
    assert_eq!(Pool::new().get().unwrap().size(), 65_536);
}

#[test]
#[ignore = "needs a process of its own; run by `configuring`"]
fn child_configures_too_late() {
    assert_eq!(Pool::new().get().unwrap().size(), DEFAULT_SIZE);
    assert_eq!(configure(65_536), Err(Invalid));
    assert_eq!(configure(DEFAULT_SIZE), Ok(()));
}

#[test]
fn a_pool_gives_the_stack_used_last() {
    let _turn = turn();
    let mut pool = Pool::new();
    let (a, b) = (pool.get().unwrap(), pool.get().unwrap());
    assert_ne!(a, b);
    pool.put(a);
    pool.put(b);
    assert_eq!(pool.get(), Ok(b));
    assert_eq!(pool.get(), Ok(a));
    pool.put(a);
    pool.put(b);
    let n = pool.len();
    pool.trim(1);
    assert!(n > 1 && pool.len() == 1);
    assert_eq!(pool.get(), Ok(b));
    pool.put(b);
    pool.flush();
    assert_eq!(pool.len(), 0);
}

/// A goroutine that ends puts its stack here while it runs on it.
#[test]
fn nobody_else_gets_a_stack_before_its_last_owner_has_left_it() {
    const SIZE: usize = 128 * 1024;
    let _turn = turn();
    let mut pool = Pool::new();
    let (a, b) = (get_sized(SIZE).unwrap(), get_sized(SIZE).unwrap());
    pool.put(a);
    let others: Vec<Stack> = (0..10).map(|_| get_sized(SIZE).unwrap()).collect();
    assert!(!others.contains(&a), "it is still in use");
    pool.put(b);
    assert_eq!(get_sized(SIZE), Ok(a), "its goroutine has ended before this one");
    pool.left();
    assert_eq!(get_sized(SIZE), Ok(b));
    others.into_iter().chain([a, b]).for_each(put_sized);
}

#[test]
fn no_two_owners_have_the_same_stack() {
    let _turn = turn();
    let before = stats().in_use;
    let all = Mutex::new(HashSet::new());
    let everybody_has_some = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut pool = Pool::new();
                let mut mine = Vec::new();
                for round in 0..3000_usize {
                    mine.push(pool.get().unwrap());
                    if round % 3 == 0 {
                        pool.put(mine.swap_remove(round * 7919 % mine.len()));
                    }
                }
                for s in &mine {
                    assert!(all.lock().unwrap().insert(s.base()));
                }
                everybody_has_some.wait();
                // A pool takes stacks that came from elsewhere, and of other sizes.
                mine.push(get_sized(32 * 1024).unwrap());
                mine.into_iter().for_each(|s| pool.put(s));
                assert!(pool.len() <= 256);
            });
        }
    });
    assert_eq!(all.lock().unwrap().len(), 4 * 2000);
    assert_eq!(stats().in_use, before);
}

#[test]
fn what_lies_idle_gives_its_pages_back() {
    let _turn = turn();
    while scavenge() > 0 {}
    let all: Vec<Stack> = (0..300).map(|_| get_sized(128 * 1024).unwrap()).collect();
    all.iter().for_each(|s| write(s.top().wrapping_sub(1)));
    assert!(all.iter().all(|s| s.used() > 0));
    all.iter().for_each(|s| put_sized(*s));
    // The first call sees stacks that were in use since the last one.
    scavenge();
    assert!(all.iter().all(|s| s.used() > 0));
    scavenge();
    let given = all.iter().filter(|s| s.used() == 0).count();
    assert_eq!(given, 300 - 32, "all but the few that are kept");
    // The guards are still there.
    for s in &all {
        assert_eq!(find(s.base()), Some(GuardHit { base: s.base(), size: s.size() }));
        assert!(faults(s.base()));
    }
}

fn faults(at: usize) -> bool {
    !pages::readable(at)
}

#[test]
fn find_knows_guards_from_stacks() {
    let _turn = turn();
    let s = get_sized(64 * 1024).unwrap();
    let hit = Some(GuardHit { base: s.base(), size: s.size() });
    assert_eq!(find(s.base()), hit);
    assert_eq!(find(s.bottom() as usize - 1), hit);
    assert_eq!(find(s.bottom() as usize), None);
    assert_eq!(find(s.top() as usize - 1), None);
    assert_eq!(find(0), None);
    assert_eq!(find(&s as *const Stack as usize), None);
    assert!(faults(s.base()) && faults(s.bottom() as usize - 1) && !faults(s.bottom() as usize));
    put_sized(s);
}

#[test]
fn reserving_maps_ahead_and_release_leaves_nothing() {
    for env in [&[][..], &[("ZK_GUARD", "mprotect")]] {
        passes_in_child("tests::child_reserves_and_releases", env);
    }
}

fn maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|l| l.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs a process of its own; run by `reserving_maps_ahead_and_release_leaves_nothing`"]
fn child_reserves_and_releases() {
    let size = status("VmSize:");
    reserve(3000).unwrap();
    assert!(stats().mapped >= 3000 * DEFAULT_SIZE);
    let mapped = stats().mapped;
    let mut pool = Pool::new();
    let all: Vec<Stack> = (0..3000).map(|_| pool.get().unwrap()).collect();
    assert_eq!(stats().mapped, mapped);
    all.into_iter().for_each(|s| pool.put(s));
    put_sized(get_sized(1 << 20).unwrap());
    pool.flush();
    assert_eq!(stats().in_use, 0);
    // SAFETY: everything has been put back and nobody else is here.
    unsafe { release_all() };
    assert_eq!(stats(), StackStats::default());
    assert!(status("VmSize:") < size + 64 * 1024, "{} KiB remain", status("VmSize:") - size);
    // And it starts again.
    let s = pool.get().unwrap();
    write(s.top().wrapping_sub(1));
    assert!(faults(s.base()));
}

#[test]
fn old_kernels_get_protected_pages() {
    passes_in_child("tests::child_uses_mprotect", &[("ZK_GUARD", "mprotect")]);
}

#[test]
#[ignore = "needs a process of its own; run by `old_kernels_get_protected_pages`"]
fn child_uses_mprotect() {
    let before = maps();
    let all: Vec<Stack> = (0..100).map(|_| get_sized(DEFAULT_SIZE).unwrap()).collect();
    assert!(maps() >= before + 150, "guards split the mapping: {before}, {}", maps());
    for s in &all {
        assert!(faults(s.base()) && faults(s.bottom() as usize - 1));
        write(s.bottom());
        write(s.top().wrapping_sub(1));
    }
    assert!(!sp_check_needed());
}

#[test]
fn beyond_the_budget_groups_are_guarded() {
    let _turn = turn();
    // 3/8 of 16 are 6 guards, 1/16 is one group.
    let guards = guard::Guards::new(guard::Way::Protect, 16);
    let log2 = 15;
    let base = sys::map_reserve(600 << log2).unwrap() as usize;
    let slots = 550;
    // SAFETY: the mapping is new and ours.
    unsafe { guards.install(base, log2, 6) };
    assert!(!guards.missing());
    // SAFETY: as above.
    unsafe { guards.install(base + (6 << log2), log2, slots - 6) };
    assert!(guards.missing());
    let guarded: Vec<usize> = (0..slots).filter(|i| faults(base + (i << log2))).collect();
    assert_eq!(guarded[..6], [0, 1, 2, 3, 4, 5]);
    assert_eq!(guarded.len(), 7, "{guarded:?}");
    assert_eq!(((base >> log2) + guarded[6]) % guard::GROUP, 0);
    // SAFETY: nothing lives here.
    unsafe { sys::unmap(base as *mut u8, 600 << log2) }.unwrap();
}

/// Twice as many stacks as protected guards are allowed, by the limit of this system.
#[test]
fn many_stacks_without_markers_are_announced() {
    passes_in_child("tests::child_goes_beyond_the_budget", &[("ZK_GUARD", "mprotect")]);
}

#[test]
#[ignore = "needs a process of its own; run by `many_stacks_without_markers_are_announced`"]
fn child_goes_beyond_the_budget() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    set_notice(|text| SAID.lock().unwrap().push(text.to_owned()));
    let allowed = pages::max_map_count() / 8 * 3;
    if allowed > 100_000 {
        println!("the limit of this system is too high for this test");
        return;
    }
    let mut pool = Pool::new();
    let mut take = |n: usize| (0..n).map(|_| pool.get().unwrap()).collect::<Vec<_>>();
    take(allowed / 2);
    assert!(!sp_check_needed() && SAID.lock().unwrap().is_empty());
    let rest = take(allowed * 3 / 2);
    assert!(sp_check_needed());
    assert!(rest.iter().any(|s| !faults(s.base())));
    // The stacks work, and the check would find who has run out of one.
    rest.iter().step_by(97).for_each(|s| write(s.bottom()));
    assert!(rest[0].contains(rest[0].top() as usize) && !rest[0].contains(rest[0].base() + 64));
    assert_eq!(SAID.lock().unwrap().len(), 1);
    // Mappings are left for the rest of the program.
    assert!(maps() < pages::max_map_count() * 15 / 16);
}

#[cfg(feature = "faults")]
#[test]
fn failures_of_the_system() {
    passes_in_child("tests::child_has_no_memory", &[("ZK_FAULT", "mmap:1+")]);
    passes_in_child("tests::child_has_memory_later", &[("ZK_FAULT", "mmap:2")]);
    passes_in_child("tests::child_has_no_markers", &[("ZK_FAULT", "guard:1+")]);
    passes_in_child("tests::child_has_no_markers", &[("ZK_FAULT", "guard:4+")]);
    passes_in_child("tests::child_has_no_guards", &[("ZK_FAULT", "guard:1+,protect:1+")]);
}

#[cfg(feature = "faults")]
#[test]
#[ignore = "run by `failures_of_the_system`"]
fn child_has_no_memory() {
    sys::init();
    assert_eq!(Pool::new().get(), Err(Error::MEMORY));
    assert_eq!(reserve(1), Err(Error::MEMORY));
    assert_eq!(get_sized(1 << 20), Err(Error::MEMORY));
    assert_eq!(overflow::install_thread().unwrap_err(), Error::MEMORY);
    assert_eq!(stats(), StackStats::default());
}

#[cfg(feature = "faults")]
#[test]
#[ignore = "run by `failures_of_the_system`"]
fn child_has_memory_later() {
    sys::init();
    reserve(1).unwrap();
    // The second mapping fails at first, so half as much is asked for.
    let mapped = stats().mapped;
    reserve(mapped / DEFAULT_SIZE + 1000).unwrap();
    assert!(stats().mapped > mapped);
}

#[cfg(feature = "faults")]
#[test]
#[ignore = "run by `failures_of_the_system`"]
fn child_has_no_markers() {
    sys::init();
    let mut pool = Pool::new();
    let all: Vec<Stack> = (0..200).map(|_| pool.get().unwrap()).collect();
    assert!(all.iter().all(|s| faults(s.base())));
    assert!(!sp_check_needed());
}

#[cfg(feature = "faults")]
#[test]
#[ignore = "run by `failures_of_the_system`"]
fn child_has_no_guards() {
    sys::init();
    let s = Pool::new().get().unwrap();
    write(s.bottom());
    assert!(!faults(s.base()) && sp_check_needed());
}

#[test]
fn little_address_space_is_an_error_in_time() {
    passes_in_child("tests::child_has_little_address_space", &[]);
}

#[test]
#[ignore = "needs a process of its own; run by `little_address_space_is_an_error_in_time`"]
fn child_has_little_address_space() {
    const MORE: usize = 512 << 20;
    let limit = (status("VmSize:") * 1024 + MORE) as libc::rlim_t;
    // SAFETY: sets a limit of this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: limit, rlim_max: limit }) }, 0);
    let mut pool = Pool::new();
    let mut n = 0;
    let error = loop {
        match reserve(n + 1).and_then(|()| pool.get()) {
            Ok(s) => write(s.top().wrapping_sub(1)),
            Err(e) => break e,
        }
        n += 1;
    };
    assert_eq!(error, Error::MEMORY);
    // Most of it was used, and something is left for others.
    assert!(n * DEFAULT_SIZE > MORE / 2, "{n} stacks");
    assert_eq!(vec![1_u8; 1 << 20].iter().map(|b| usize::from(*b)).sum::<usize>(), 1 << 20);
}

/// A million stacks at a time, guarded, each with one page touched, on whatever limits the system has.
/// With `--nocapture` it says what they cost.
#[test]
#[ignore = "takes 5 GiB of memory"]
fn a_million_stacks() {
    let size = std::env::var("ZK_TEST_STACK").map_or(DEFAULT_SIZE, |s| s.parse().unwrap());
    let n = std::env::var("ZK_TEST_STACKS").map_or(1_000_000, |s| s.parse().unwrap());
    configure(size).unwrap();
    let (rss, pte, before) = (status("VmRSS:"), status("VmPTE:"), maps());
    let mut pool = Pool::new();
    let start = std::time::Instant::now();
    reserve(n).unwrap();
    let all: Vec<Stack> = (0..n).map(|_| pool.get().unwrap()).collect();
    let made = start.elapsed();
    all.iter().for_each(|s| write(s.top().wrapping_sub(1)));
    let touched = start.elapsed() - made;
    assert!(sp_check_needed() || all.iter().step_by(997).all(|s| faults(s.base())));
    println!(
        "{n} stacks of {} KiB: {} mappings more, {} ns to make, {} ns to touch, {} B resident, {} B page table each",
        size / 1024,
        maps() - before,
        made.as_nanos() / n as u128,
        touched.as_nanos() / n as u128,
        (status("VmRSS:") - rss) * 1024 / n,
        (status("VmPTE:") - pte) * 1024 / n,
    );
    let start = std::time::Instant::now();
    all.into_iter().for_each(|s| pool.put(s));
    pool.flush();
    let back = start.elapsed();
    scavenge();
    let given = scavenge();
    println!(
        "{} ns to put back, {} ns to give back (of {given}), {} KiB resident",
        back.as_nanos() / n as u128,
        (start.elapsed() - back).as_nanos() / n as u128,
        status("VmRSS:") - rss,
    );
    assert_eq!(given, n - 32);
}

/// What the pieces cost. Prints, asserts nothing about time.
#[test]
#[ignore = "a measurement: run it alone, in release mode, with --nocapture"]
fn measure_stacks() {
    use std::hint::black_box;
    use std::time::Instant;
    fn each(what: &str, n: usize, f: impl FnOnce()) {
        let start = Instant::now();
        f();
        println!("{:7.1} ns {what}", start.elapsed().as_nanos() as f64 / n as f64);
    }
    let mut pool = Pool::new();
    let s = pool.get().unwrap();
    pool.put(s);
    each("to get and put a stack", 10_000_000, || {
        for _ in 0..10_000_000 {
            let s = black_box(pool.get().unwrap());
            pool.put(s);
        }
    });
    let mut held = Vec::with_capacity(100_000);
    for _ in 0..2 {
        each("to get a stack, of 100,000 at a time", 100_000, || {
            (0..100_000).for_each(|_| held.push(pool.get().unwrap()));
        });
        each("to put it back", 100_000, || held.drain(..).for_each(|s| pool.put(s)));
    }
    pool.flush();
    let page = sys::page_size();
    let log2 = 18;
    let base = sys::map_reserve(20_000 << log2).unwrap();
    // SAFETY: the mapping is ours, and so are the pages of it.
    unsafe {
        sys::advise_nohugepage(base, 20_000 << log2).unwrap();
        // What belongs to the page tables is paid for before the clock runs.
        (0..20_000).for_each(|i| base.add(((i + 1) << log2) - page).write_volatile(1));
        let slot = |i: usize| base as usize + (i << log2);
        if sys::guard_install(base, guard::size()).is_ok() {
            each("to install a guard alone", 9_999, || {
                (1..10_000).for_each(|i| sys::guard_install(slot(i) as *mut u8, guard::size()).unwrap());
            });
            let ranges: Vec<_> = (10_000..20_000).map(|i| (slot(i), guard::size())).collect();
            each("in batches", 10_000, || {
                ranges.chunks(pages::BATCH).for_each(|c| assert!(pages::guard_install_batch(c)));
            });
        }
        each("to give a stack with one page back alone", 5_000, || {
            (0..5_000).for_each(|i| sys::advise_dontneed(slot(2 * i) as *mut u8, 1 << log2).unwrap());
        });
        each("in batches of separate ones", 5_000, || {
            let ranges: Vec<_> = (0..5_000).map(|i| (slot(2 * i + 1), 1 << log2)).collect();
            ranges.chunks(pages::BATCH).for_each(|c| assert!(pages::advise_dontneed_batch(c)));
        });
        each("in one run", 10_000, || sys::advise_dontneed(slot(10_000) as *mut u8, 10_000 << log2).unwrap());
        sys::unmap(base, 20_000 << log2).unwrap();
    }
}
