//! The ways of a whole life, where `init` is between the plan and its end: it had the privileges, and may have changed them.

use super::{
    Capability, Difference, Dropped, PrivError, PrivPlan, ResolvedPlan, Set, Status, Step,
};
use super::{Plan, Wish, begin, kernel, look_at_start, once, proven, start_of};

impl PrivPlan {
    /// Whether it gives nothing up: at most new privileges are forbidden.
    pub(crate) fn stays(&self) -> bool {
        let stays = PrivPlan {
            wish: Wish {
                no_new_privs: self.wish.no_new_privs,
                allow_root: self.wish.allow_root,
                ..Wish::default()
            },
            ..PrivPlan::default()
        };
        *self == stays
    }

    /// `resolve` and `apply` in one, for a plan that [`stays`](PrivPlan::stays). There is no step whose way or order depends on
    /// what the process is, so it is looked at once, behind the only one; and one thread needs no list of threads.
    pub(crate) fn stay(self) -> Result<Dropped, PrivError> {
        let wish = self.wish;
        once()?;
        if wish.no_new_privs {
            let step = Step::NoNewPrivileges;
            kernel::perform(&step).map_err(|source| PrivError::Step { step, source })?;
        }
        let text = kernel::own_status().map_err(PrivError::Proc)?;
        let status = Status::parse(&text).map_err(PrivError::Status)?;
        if status.threads != 1 {
            return Err(PrivError::Threads(status.threads as usize));
        }
        let now = start_of(status, &wish)?;
        let plan = Plan::new(&wish, &now).map_err(PrivError::Refused)?;
        let regained = kernel::regained(plan.tries()).into_iter();
        let regained = regained.map(Difference::Regained).collect();
        proven(plan.expected(), vec![now.status], regained)
    }
}

impl ResolvedPlan {
    /// As [`ResolvedPlan::apply`], with these capabilities kept too, behind code that had the privileges and may have changed
    /// them: then the steps are found again, from what the process is by now.
    pub(crate) fn apply_behind(mut self, keep: &[Capability]) -> Result<Dropped, PrivError> {
        let witness = begin(&self.wish)?;
        let now = look_at_start(&witness, &self.wish)?;
        if !keep.is_empty() {
            let listed = self.wish.keep.unwrap_or(Set::EMPTY);
            self.wish.keep = Some(listed.and(keep.iter().copied().collect()));
        }
        if !(keep.is_empty() && now.has_privileges_of(&self.start)) {
            self.plan = Plan::new(&self.wish, &now).map_err(PrivError::Refused)?;
            self.start = now;
        }
        self.perform(&witness)
    }
}
