// SPDX-License-Identifier: Apache-2.0
//! Memory in stripes, in Rust: page N holds runs of `stripe` bytes, in turn N % 251 and its complement.
//!
//! One file, no crates. The first half mirrors what it uses of uffd_plugin.h, with the layout asserted
//! at compile time; the second half is the provider. Each hook is a thunk around safe code that runs
//! under `catch_unwind`: no panic may leave a hook.

use std::ffi::{CStr, c_char, c_void};
use std::mem::{offset_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

// --- The mirror of uffd_plugin.h --------------------------------------------------------------------

/// Values that cross are plain integers here: a Rust enum with a value it does not know is undefined.
type Status = u32;
const OK: Status = 0;
const OUT_OF_RANGE: Status = 3;
const GONE: Status = 6;

#[repr(C)]
struct ParameterInfo {
    key: *const c_char,
    help: *const c_char,
    default_value: *const c_char,
    kind: u32,
    reserved: u32,
    flags: u64,
}

#[repr(C)]
struct Parameter {
    key: *const c_char,
    value: *const c_char,
}

#[repr(C)]
struct Host {
    size: u32,
    abi: u32,
    instance: u64,
    log: Option<extern "C" fn(u64, u32, *const c_char, u64)>,
    report_error: Option<extern "C" fn(u64, *const c_char, u64)>,
    staging_alloc: Option<extern "C" fn(u64, u64, *mut *mut c_void) -> Status>,
    staging_free: Option<extern "C" fn(u64, *mut c_void)>,
    kick: Option<extern "C" fn(u64, u64)>,
}

#[repr(C)]
struct Traits {
    size: u32,
    memory_kind: u32,
    object_size: u64,
    granule: u64,
    backing: u32,
    thread_model: u32,
    may_block: u32,
    file_role: u32,
    file_key: *const c_char,
    hole: u32,
    reserved: u32,
    content_id: [u64; 2],
}

#[repr(C)]
struct FolioRequest {
    size: u32,
    reserved: u32,
    pgoff: u64,
    count: u64,
    granule: u64,
    access: u64,
    ticket: u64,
    staging: *mut u8,
    staging_length: u64,
}

#[repr(C)]
struct Folio {
    size: u32,
    kind: u32,
    count: u64,
    memory: *const c_void,
    length: u64,
    residence: u32,
    reserved: u32,
    cookie: u64,
}

/// Hooks that this provider does not have are only the room they take.
type NoHook = Option<extern "C" fn()>;

#[repr(C)]
struct Provider {
    size: u32,
    abi: u32,
    requires_minor: u32,
    thread_model: u32,
    operations: u64,
    modes: u64,
    memory_kinds: u64,
    granules: u64,
    behaviours: u64,
    name: *const c_char,
    version: *const c_char,
    summary: *const c_char,
    parameters: *const ParameterInfo,
    parameter_count: u64,
    parameter_stride: u64,
    configure: extern "C" fn(*const Host, *const Parameter, u64, *mut *mut Stripes) -> Status,
    config_complete: extern "C" fn(*mut Stripes, *mut Traits) -> Status,
    can_userfault: NoHook,
    alloc_folio: Option<extern "C" fn(*mut Stripes, *const FolioRequest, *mut Folio) -> Status>,
    put_folio: NoHook,
    get_folio_noalloc: NoHook,
    filemap_add: NoHook,
    filemap_remove: NoHook,
    discard: NoHook,
    extents: NoHook,
    will_need: NoHook,
    writeback: NoHook,
    flush: NoHook,
    cancel: NoHook,
    close: extern "C" fn(*mut Stripes),
}

// The header's own numbers. A mirror that is wrong does not compile.
const _: () = assert!(size_of::<ParameterInfo>() == 40 && offset_of!(ParameterInfo, flags) == 32);
const _: () = assert!(size_of::<Host>() == 56 && offset_of!(Host, report_error) == 24);
const _: () = assert!(size_of::<Traits>() == 72 && offset_of!(Traits, file_key) == 40);
const _: () = assert!(size_of::<FolioRequest>() == 64 && offset_of!(FolioRequest, staging) == 48);
const _: () = assert!(size_of::<Folio>() == 48 && offset_of!(Folio, residence) == 32);
const _: () = assert!(size_of::<Provider>() == 224 && offset_of!(Provider, alloc_folio) == 128);

// --- The provider -----------------------------------------------------------------------------------

const GRANULE: usize = 4096;

/// One instance. Nothing in it changes after `new`, so hooks may run in parallel.
struct Stripes {
    size: u64,
    stripe: u64,
}

impl Stripes {
    fn new<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Stripes, String> {
        let mut made = Stripes { size: 1 << 20, stripe: 64 };
        for (key, value) in pairs {
            let place = match key {
                "size" => &mut made.size,
                "stripe" => &mut made.stripe,
                _ => return Err(format!("there is no parameter {key}")),
            };
            *place = parse_size(value).filter(|bytes| *bytes > 0).ok_or_else(|| {
                format!("{key}={value} is not a size of at least 1 byte, such as 64 or 16M")
            })?;
        }
        Ok(made)
    }

    fn fill(&self, page: u64, out: &mut [u8]) {
        let byte = (page % 251) as u8;
        for (index, out) in out.iter_mut().enumerate() {
            let is_odd = index as u64 / self.stripe % 2 == 1;
            let is_inside = page * (GRANULE as u64) + (index as u64) < self.size;
            *out = if !is_inside { 0 } else if is_odd { !byte } else { byte };
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        unit => 10 * (1 + "KMGT".find(unit)?),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

// --- The thunks -------------------------------------------------------------------------------------

extern "C" fn configure(
    host: *const Host, parameters: *const Parameter, count: u64, out: *mut *mut Stripes,
) -> Status {
    let made = catch_unwind(|| {
        // SAFETY: the host gives `count` pairs of NUL-terminated strings, or none and perhaps NULL.
        let pairs = (0..count as usize).map(|index| unsafe {
            let pair = &*parameters.add(index);
            (CStr::from_ptr(pair.key), CStr::from_ptr(pair.value))
        });
        Stripes::new(pairs.map(|(k, v)| (k.to_str().unwrap_or("?"), v.to_str().unwrap_or("?"))))
    });
    match made {
        Ok(Ok(instance)) => {
            // SAFETY: `out` is the host's place for our pointer.
            unsafe { *out = Box::into_raw(Box::new(instance)) };
            OK
        }
        Ok(Err(text)) => {
            // SAFETY: the host's table lives until close; the text is copied before the call returns.
            let host = unsafe { &*host };
            if let Some(report) = host.report_error {
                report(host.instance, text.as_ptr().cast(), text.len() as u64);
            }
            OUT_OF_RANGE
        }
        Err(_) => GONE,
    }
}

extern "C" fn config_complete(instance: *mut Stripes, traits: *mut Traits) -> Status {
    // SAFETY: both are valid until the hook returns. Fields not set here are zero: "none", "as before".
    let (instance, traits) = unsafe { (&*instance, &mut *traits) };
    traits.object_size = instance.size;
    traits.granule = GRANULE as u64;
    traits.memory_kind = 1; // UFFD_MEMORY_ANON
    OK
}

extern "C" fn alloc_folio(
    instance: *mut Stripes, request: *const FolioRequest, folio: *mut Folio,
) -> Status {
    // SAFETY: valid until the hook returns; the instance is never written to, so `&` is right on any
    // number of threads. Staging has undefined content and is ours alone, so it is cleared first.
    let (instance, request, folio) = unsafe { (&*instance, &*request, &mut *folio) };
    if request.pgoff > (instance.size - 1) / GRANULE as u64 {
        return OUT_OF_RANGE;
    }
    let length = request.count as usize * GRANULE;
    let staging = unsafe {
        ptr::write_bytes(request.staging, 0, length);
        std::slice::from_raw_parts_mut(request.staging, length)
    };
    let filled = catch_unwind(AssertUnwindSafe(|| {
        for (page, out) in (request.pgoff..).zip(staging.chunks_exact_mut(GRANULE)) {
            instance.fill(page, out);
        }
    }));
    if filled.is_err() {
        return GONE;
    }
    folio.kind = 1; // UFFD_FOLIO_STAGED
    folio.count = request.count;
    OK
}

extern "C" fn close(instance: *mut Stripes) {
    // SAFETY: made by Box::into_raw in configure, and no call is in flight. A panic in drop ends here.
    let _ = catch_unwind(|| drop(unsafe { Box::from_raw(instance) }));
}

struct Table<T>(T);
// SAFETY: never written to, and its pointers are to string literals.
unsafe impl<T> Sync for Table<T> {}

const fn size_parameter(key: &CStr, help: &CStr, default_value: &CStr) -> ParameterInfo {
    let (key, help, default_value) = (key.as_ptr(), help.as_ptr(), default_value.as_ptr());
    ParameterInfo { key, help, default_value, kind: 3, reserved: 0, flags: 0 }
}

static PARAMETERS: Table<[ParameterInfo; 2]> = Table([
    size_parameter(c"size", c"bytes", c"1M"),
    size_parameter(c"stripe", c"bytes in a run", c"64"),
]);

static TABLE: Table<Provider> = Table(Provider {
    size: size_of::<Provider>() as u32,
    abi: 0x0001_0000,
    requires_minor: 0,
    thread_model: 3000, // UFFD_THREADS_PARALLEL
    operations: 1,      // UFFD_OP_ALLOC
    modes: 1,           // UFFD_MODE_MISSING
    memory_kinds: 2,    // UFFD_KINDS_ANON
    granules: GRANULE as u64,
    behaviours: 0,
    name: c"stripes-rust".as_ptr(),
    version: c"1.0".as_ptr(),
    summary: c"stripes whose bytes tell the page they are on".as_ptr(),
    parameters: (&raw const PARAMETERS).cast(),
    parameter_count: 2,
    parameter_stride: size_of::<ParameterInfo>() as u64,
    configure,
    config_complete,
    can_userfault: None,
    alloc_folio: Some(alloc_folio),
    put_folio: None,
    get_folio_noalloc: None,
    filemap_add: None,
    filemap_remove: None,
    discard: None,
    extents: None,
    will_need: None,
    writeback: None,
    flush: None,
    cancel: None,
    close,
});

#[unsafe(no_mangle)]
extern "C" fn uffd_provider_entry_v1() -> *const c_void {
    (&raw const TABLE.0).cast()
}
