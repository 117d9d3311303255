//! Labels of goroutines: what a program notes about what a goroutine works for.
//!
//! *Where it sits*: layer 2, a rare attribute of the header. Rule G-23: a goroutine begins with the labels of the one that starts
//! it, and dumps show them.
//!
//! A set of labels does not change: whoever sets one makes a new set, and those that were started before keep the old one.

use super::{arena, G};
use crate::cell::Ordering;
use std::fmt;
use std::sync::Arc;

/// Keys and values, in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(Box<str>, Box<str>)>);

impl Labels {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|i| &*self.0[i].1)
    }

    /// Sets the value of a key, or takes the key out.
    pub fn set(&mut self, key: &str, value: Option<&str>) {
        match (self.0.binary_search_by(|(k, _)| (**k).cmp(key)), value) {
            (Ok(i), Some(v)) => self.0[i].1 = v.into(),
            (Ok(i), None) => drop(self.0.remove(i)),
            (Err(i), Some(v)) => self.0.insert(i, (key.into(), v.into())),
            (Err(_), None) => {}
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }
}

impl fmt::Display for Labels {
    /// As dumps show it: `{key: value, key: value}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (k, v)) in self.0.iter().enumerate() {
            write!(f, "{}{k}: {v}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}

impl G {
    /// Its labels, for whoever looks at goroutines.
    pub fn labels(&self) -> Option<Arc<Labels>> {
        let _names = arena::names_lock();
        // Acquire: pairs with the Release store in `ext_mut`.
        let p = self.ext.load(Ordering::Acquire);
        // SAFETY: freed only under the names lock, which we hold, and the labels change only under it.
        unsafe { p.as_ref().and_then(|e| e.labels.clone()) }
    }

    /// Gives it other labels.
    ///
    /// # Safety
    /// Called by the present owner of the header: whoever sets it up, or the running goroutine itself.
    pub unsafe fn set_labels(&self, to: Option<Arc<Labels>>) {
        // SAFETY: by the caller; dumps read the labels under the lock.
        let old = unsafe {
            let ext = self.ext_mut();
            let _names = arena::names_lock();
            core::mem::replace(&mut ext.labels, to)
        };
        drop(old);
    }

    /// A new goroutine begins with the labels of the one that starts it.
    ///
    /// # Safety
    /// As for [`set_labels`](G::set_labels); `from` is the running goroutine or null.
    #[inline(always)]
    pub unsafe fn inherit_labels(&self, from: *const G) {
        // SAFETY: by the caller: `from` is running here, so its attributes do not change meanwhile.
        unsafe {
            let ext = if from.is_null() { None } else { (*from).ext_ref() };
            if let Some(labels) = ext.and_then(|e| e.labels.as_ref()) {
                self.take_over(labels);
            }
        }
    }

    #[cold]
    unsafe fn take_over(&self, labels: &Arc<Labels>) {
        // SAFETY: by the caller of `inherit_labels`.
        unsafe { self.set_labels(Some(labels.clone())) };
    }

    /// Gives it labels on top of those that it has.
    ///
    /// # Safety
    /// As for [`set_labels`](G::set_labels).
    pub unsafe fn add_labels(&self, own: Vec<(String, String)>) {
        let mut all = self.labels().map_or_else(Labels::default, |l| (*l).clone());
        own.iter().for_each(|(k, v)| all.set(k, Some(v)));
        // SAFETY: by the caller.
        unsafe { self.set_labels(Some(Arc::new(all))) };
    }
}
