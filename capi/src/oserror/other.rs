//! No errors beyond the common ones.

use std::ffi::{c_int, CStr};

/// Number, name, text.
pub(super) const MORE: &[(c_int, &CStr, &CStr)] = &[];
