//! Which farm a command speaks to: the one asked for, the default one, the one on this machine, or none.
//!
//! An address alone is never enough: without a stored anchor nobody could be told from a stranger. So `--manager` must match a
//! farm that is known, or come with `TESSERA_FARM_CA` and `TESSERA_TOKEN`.

use std::path::PathBuf;

use tessera_wire::pairing::NameCheck;

use crate::address::{AddressError, host_and_port, normalise_address};
use crate::farm::{Farm, FarmFileError, default_farm, farms, local_manager};
use crate::folders::Folders;
use crate::trust::Trust;

/// What flags and environment say.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `--manager` or `TESSERA_MANAGER`: an address.
    pub manager: Option<String>,
    /// `TESSERA_FARM`: the name of a farm that is connected.
    pub farm: Option<String>,
    /// `TESSERA_TOKEN`.
    pub token: Option<String>,
    /// `TESSERA_FARM_CA`: a PEM file with the anchor.
    pub farm_ca: Option<PathBuf>,
}

/// Why that farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// Its address was given.
    Address,
    /// Its name was given.
    Name,
    /// It is the default one.
    Default,
    /// Its manager runs here.
    LocalManager,
}

/// No farm can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A file of a farm cannot be used.
    #[error(transparent)]
    File(#[from] FarmFileError),
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The address is of no farm that is known.
    #[error(
        "no farm with a manager at {address} is connected: `tessera connect CODE` connects one (the manager prints the code); \
         or give its certificate as TESSERA_FARM_CA and a token as TESSERA_TOKEN"
    )]
    Stranger {
        /// Address.
        address: String,
    },
    /// Only one of the two that belong together was given.
    #[error(
        "TESSERA_FARM_CA and TESSERA_TOKEN belong together, with --manager: {missing} is not set"
    )]
    Half {
        /// Which is missing.
        missing: &'static str,
    },
    /// The certificate file cannot be read.
    #[error("the certificate {} cannot be read: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The farm that a command speaks to; none if nothing is connected and no manager runs here.
///
/// # Errors
/// If what was asked for is not there, or a file cannot be used.
pub fn choose_farm(
    folders: &Folders,
    wanted: &Wanted,
) -> Result<Option<(Farm, ChosenBy)>, ChooseError> {
    if let Some(manager) = &wanted.manager {
        let address = normalise_address(manager)?;
        return by_address(folders, wanted, address).map(|farm| Some((farm, ChosenBy::Address)));
    }
    if wanted.farm_ca.is_some() {
        return Err(ChooseError::Half {
            missing: "--manager",
        });
    }
    let by_name = match &wanted.farm {
        Some(name) => {
            let found = farms(folders)?.into_iter().find(|farm| farm.name == *name);
            Some((
                found.ok_or_else(|| FarmFileError::Unknown { name: name.clone() })?,
                ChosenBy::Name,
            ))
        }
        None => None,
    };
    let chosen = match by_name {
        Some(chosen) => Some(chosen),
        None => match default_farm(folders)? {
            Some(farm) => Some((farm, ChosenBy::Default)),
            None => local_manager(folders)?.map(|manager| (manager.farm, ChosenBy::LocalManager)),
        },
    };
    Ok(chosen.map(|(farm, by)| (with_token(farm, wanted), by)))
}

fn with_token(mut farm: Farm, wanted: &Wanted) -> Farm {
    if let Some(token) = &wanted.token {
        farm.token.clone_from(token);
    }
    farm
}

fn by_address(folders: &Folders, wanted: &Wanted, address: String) -> Result<Farm, ChooseError> {
    if let Some(path) = &wanted.farm_ca {
        let Some(token) = &wanted.token else {
            return Err(ChooseError::Half {
                missing: "TESSERA_TOKEN",
            });
        };
        let bad = |reason: String| ChooseError::Certificate {
            path: path.clone(),
            reason,
        };
        let anchor_pem = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        // The farm's own CA says no more than "this farm"; any other certificate must name the host.
        let mut trust = Trust {
            anchor_pem,
            name_check: NameCheck::Host,
        };
        if trust.is_farm_ca().map_err(|error| bad(error.to_string()))? {
            trust.name_check = NameCheck::Farm;
        }
        return Ok(Farm {
            name: address.clone(),
            addresses: vec![address],
            trust,
            token: token.clone(),
        });
    }
    let mut known = farms(folders)?;
    // The default comes first where several farms were ever reached at one address.
    if let Some(default) = default_farm(folders)? {
        known.insert(0, default);
    }
    known.extend(local_manager(folders)?.map(|manager| manager.farm));
    let wants = host_and_port(&address)?;
    let matches = |farm: &Farm| {
        farm.addresses
            .iter()
            .any(|known| host_and_port(known).is_ok_and(|known| known == wants))
    };
    let mut farm = known
        .into_iter()
        .find(matches)
        .ok_or(ChooseError::Stranger {
            address: address.clone(),
        })?;
    farm.addresses.retain(|other| *other != address);
    farm.addresses.insert(0, address);
    Ok(with_token(farm, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::farm::{LocalManager, save_farm, write_local_manager};

    fn farm(name: &str, address: &str) -> Farm {
        let trust = Trust {
            anchor_pem: name.into(),
            name_check: NameCheck::Farm,
        };
        Farm {
            name: name.into(),
            addresses: vec![address.into()],
            trust,
            token: format!("token of {name}"),
        }
    }

    fn wanted(manager: &str) -> Wanted {
        Wanted {
            manager: Some(manager.into()),
            ..Wanted::default()
        }
    }

    #[test]
    fn the_order_of_choice() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        let choose = |wanted: &Wanted| {
            choose_farm(&folders, wanted).map(|chosen| chosen.map(|(farm, by)| (farm.name, by)))
        };
        let nothing = Wanted::default();
        assert_eq!(choose(&nothing).unwrap(), None);
        let local = LocalManager {
            farm: farm("here", "https://127.0.0.1:7373"),
            pid: std::process::id(),
        };
        write_local_manager(&folders, &local).unwrap();
        assert_eq!(
            choose(&nothing).unwrap(),
            Some(("here".into(), ChosenBy::LocalManager))
        );
        save_farm(&folders, &farm("studio", "https://studio:7373")).unwrap();
        save_farm(&folders, &farm("other", "https://other:1")).unwrap();
        assert_eq!(
            choose(&nothing).unwrap(),
            Some(("studio".into(), ChosenBy::Default))
        );
        assert_eq!(
            choose(&wanted("other:1")).unwrap(),
            Some(("other".into(), ChosenBy::Address))
        );
        assert_eq!(
            choose(&wanted("https://127.0.0.1")).unwrap(),
            Some(("here".into(), ChosenBy::Address))
        );
        let named = Wanted {
            farm: Some("other".into()),
            ..Wanted::default()
        };
        assert_eq!(
            choose(&named).unwrap(),
            Some(("other".into(), ChosenBy::Name))
        );
        let unknown = Wanted {
            farm: Some("nobody".into()),
            ..Wanted::default()
        };
        assert!(choose(&unknown).is_err());
    }

    #[test]
    fn an_address_alone_is_not_enough() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        save_farm(&folders, &farm("studio", "https://studio:7373")).unwrap();
        let error = choose_farm(&folders, &wanted("studio:7374"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("https://studio:7374") && error.contains("tessera connect"),
            "{error}"
        );
        assert!(matches!(
            choose_farm(&folders, &wanted("http://studio")),
            Err(ChooseError::Address(_))
        ));
        let ca = home.path().join("ca.pem");
        let mut explicit = Wanted {
            farm_ca: Some(ca.clone()),
            ..wanted("far:1")
        };
        assert!(matches!(
            choose_farm(&folders, &explicit),
            Err(ChooseError::Half {
                missing: "TESSERA_TOKEN"
            })
        ));
        explicit.token = Some("t".into());
        assert!(matches!(
            choose_farm(&folders, &explicit),
            Err(ChooseError::Certificate { .. })
        ));
        let key = rcgen::KeyPair::generate().unwrap();
        for (organisation, is_ca, check) in [
            ("Tessera", true, NameCheck::Farm),
            ("Tessera", false, NameCheck::Host),
            ("Studio", true, NameCheck::Host),
        ] {
            let mut params = rcgen::CertificateParams::default();
            params
                .distinguished_name
                .push(rcgen::DnType::OrganizationName, organisation);
            if is_ca {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }
            std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
            let (chosen, _) = choose_farm(&folders, &explicit).unwrap().unwrap();
            assert_eq!(
                (chosen.trust.name_check, chosen.token.as_str()),
                (check, "t")
            );
        }
        explicit.manager = None;
        assert!(matches!(
            choose_farm(&folders, &explicit),
            Err(ChooseError::Half {
                missing: "--manager"
            })
        ));
    }
}
