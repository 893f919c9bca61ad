//! The CPU profile, as an option.

#[cfg(feature = "profile")]
pub(super) use with::Door;
#[cfg(not(feature = "profile"))]
pub(super) use without::Door;

#[cfg(feature = "profile")]
mod with {
    use crate::options::Options;
    use crate::profile::{Recording, Target};
    use crate::{Context, Result};

    pub(in crate::start) struct Door(Option<Target>);
    pub(in crate::start) struct Serving(Option<Recording>);

    impl Door {
        /// The file is made when the service starts, and not before.
        pub fn check(_: &Options) -> Result<()> {
            Ok(())
        }

        /// Opens it. Each process of a daemon has a file of its own, for two of them live at once.
        pub fn open(options: &Options, generation: u32) -> Result<Door> {
            let Some(words) = &options.cpuprofile else {
                return Ok(Door(None));
            };
            let target = Target::of_generation(words, generation)
                .during(|| format!("service.cpuprofile {words}"))?;
            Ok(Door(Some(target)))
        }

        pub fn serve(self) -> Result<Serving> {
            match self.0 {
                None => Ok(Serving(None)),
                Some(target) => Ok(Serving(Some(
                    target
                        .start()
                        .during(|| "unable to start the CPU profile")?,
                ))),
            }
        }
    }

    impl Serving {
        pub fn close(self) -> Result<()> {
            match self.0 {
                None => Ok(()),
                Some(recording) => recording
                    .stop()
                    .during(|| "unable to write the CPU profile"),
            }
        }
    }
}

/// Without the feature whoever asks for it is refused.
#[cfg(not(feature = "profile"))]
mod without {
    use crate::options::Options;
    use crate::{Error, Result};

    pub(in crate::start) struct Door;
    pub(in crate::start) struct Serving;

    impl Door {
        pub fn open(options: &Options, _: u32) -> Result<Door> {
            Door::check(options).map(|()| Door)
        }

        pub fn check(options: &Options) -> Result<()> {
            match options.cpuprofile {
                None => Ok(()),
                Some(_) => Err(Error::unsupported(
                    "service.cpuprofile: this program was built without the feature profile",
                )),
            }
        }

        pub fn serve(self) -> Result<Serving> {
            Ok(Serving)
        }
    }

    impl Serving {
        pub fn close(self) -> Result<()> {
            Ok(())
        }
    }
}
