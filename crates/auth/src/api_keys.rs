//! API keys, looked up by digest: what the time of a lookup tells about a digest tells nothing about the key.
use std::{collections::HashMap, sync::Arc};

use fanfare_protocol::Identity;
use sha2::{Digest, Sha256};

use crate::{ApiKeyConfig, ConfigError};

/// SHA-256 of a token or key.
pub(crate) type TokenDigest = [u8; 32];

/// The digest of a token or key.
pub(crate) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// The configured API keys.
#[derive(Default)]
pub(crate) struct ApiKeys(HashMap<TokenDigest, Arc<Identity>>);

impl ApiKeys {
    pub(crate) fn new(configs: &[ApiKeyConfig]) -> Result<Self, ConfigError> {
        let mut keys: HashMap<TokenDigest, Arc<Identity>> = HashMap::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            if config.name.trim().is_empty() {
                return Err(ConfigError::UnnamedApiKey(index));
            }
            if configs.iter().take(index).any(|earlier| earlier.name == config.name) {
                return Err(ConfigError::DuplicateApiKeyName(config.name.clone()));
            }
            let key = config.key.expose();
            if !(1..=1024).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ConfigError::BadApiKey(config.name.clone()));
            }
            let name: Arc<str> = config.name.as_str().into();
            let identity = Identity { api_key: Some(name), ..Identity::default() };
            if let Some(earlier) = keys.insert(digest(key), Arc::new(identity)) {
                let earlier = earlier.api_key.as_deref().unwrap_or_default().to_owned();
                return Err(ConfigError::DuplicateApiKey(earlier, config.name.clone()));
            }
        }
        Ok(Self(keys))
    }

    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<Arc<Identity>> {
        self.0.get(digest).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
