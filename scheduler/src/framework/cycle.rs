//! What plugins keep during a cycle, and from one cycle of a shape to the next.

use std::any::{Any, TypeId};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::api::Pod;
use crate::cache::Shape;

/// The pod that is being scheduled.
#[derive(Clone, Copy)]
pub struct PodView<'a> {
    pub pod: &'a Arc<Pod>,
    pub shape: &'a Arc<Shape>,
}

/// Values by their type: a plugin keeps its own types here.
#[derive(Default)]
pub struct Keep {
    values: SmallVec<[(TypeId, Box<dyn Any + Send>); 2]>,
}

impl Keep {
    pub fn get<T: Any + Send>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        self.values
            .iter()
            .find(|(held, _)| *held == id)
            .and_then(|(_, value)| value.downcast_ref())
    }

    pub fn get_mut<T: Any + Send>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        self.values
            .iter_mut()
            .find(|(held, _)| *held == id)
            .and_then(|(_, value)| value.downcast_mut())
    }

    pub fn put<T: Any + Send>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        match self.values.iter_mut().find(|(held, _)| *held == id) {
            Some((_, held)) => *held = Box::new(value),
            None => self.values.push((id, Box::new(value))),
        }
    }

    pub fn take<T: Any + Send>(&mut self) -> Option<T> {
        let id = TypeId::of::<T>();
        let at = self.values.iter().position(|(held, _)| *held == id)?;
        self.values.swap_remove(at).1.downcast().ok().map(|value| *value)
    }
}

/// A cycle's state.
#[derive(Default)]
pub struct CycleState {
    /// Lives as long as the cycle.
    pub cycle: Keep,
    /// Lives as long as pods of this shape are scheduled now and then: compiled constraints, handles of counts. It is only
    /// ever a saving; what is kept here must be checked against the snapshot's epochs.
    pub memo: Keep,
}
