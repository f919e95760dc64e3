//! The type of the `async fn` of an action.

use crate::{Call, Result};
use std::future::Future;

/// An `async fn(&Call<S>, P) -> Result<D>`, for [`Action::new`](crate::Action::new). It is implemented for all of them.
pub trait Handler<S: 'static, P, D>: for<'a> HandlerFor<'a, S, P, D> + Copy + Send + Sync + 'static {
    /// # Safety
    /// A value of this type must have been passed to [`Action::new`](crate::Action::new).
    #[doc(hidden)]
    unsafe fn function() -> Self;
}

impl<T, S: 'static, P, D> Handler<S, P, D> for T
where
    T: for<'a> HandlerFor<'a, S, P, D> + Copy + Send + Sync + 'static,
{
    unsafe fn function() -> Self {
        const { assert!(size_of::<T>() == 0, "an action must be a plain async fn") };
        // SAFETY: a function item has no bytes, and a value exists by the caller's contract.
        unsafe { std::ptr::NonNull::<T>::dangling().read() }
    }
}

/// [`Handler`] for one lifetime of the call.
pub trait HandlerFor<'a, S: 'a, P, D> {
    #[doc(hidden)]
    type Fut: Future<Output = Result<D>> + Send + 'a;
    #[doc(hidden)]
    fn call(self, call: &'a Call<S>, params: P) -> Self::Fut;
}

impl<'a, F, Fut, S: 'a, P, D> HandlerFor<'a, S, P, D> for F
where
    F: Fn(&'a Call<S>, P) -> Fut,
    Fut: Future<Output = Result<D>> + Send + 'a,
{
    type Fut = Fut;
    fn call(self, call: &'a Call<S>, params: P) -> Fut {
        self(call, params)
    }
}
