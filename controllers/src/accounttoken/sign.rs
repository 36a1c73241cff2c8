//! Signing tokens: JSON Web Tokens (RFC 7519) by RSA (RS256) or by a P-256 curve (ES256).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Signs tokens with one private key.
pub struct Signer {
    key: Key,
    /// The key's id: a hash of the public half, as the API server computes it.
    id: String,
    random: SystemRandom,
}

enum Key {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
}

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    #[error("it holds no private key in PEM")]
    NoPem,
    #[error("its PEM cannot be decoded: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("{0:?} is not a kind of key that can be used: give RSA, or P-256 in PKCS #8")]
    Kind(String),
    #[error("the key is refused: {0}")]
    Refused(ring::error::KeyRejected),
}

impl From<ring::error::KeyRejected> for BadKey {
    fn from(cause: ring::error::KeyRejected) -> Self {
        Self::Refused(cause)
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("signing a token failed")]
pub struct NotSigned;

/// The first private key of a PEM file: its kind and its bytes.
fn pem(text: &str) -> Result<(&str, Vec<u8>), BadKey> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (kind, body) = after.split_once("-----").ok_or(BadKey::NoPem)?;
        let (body, after) = body.split_once("-----END ").ok_or(BadKey::NoPem)?;
        if kind.ends_with("PRIVATE KEY") {
            let body: String = body.split_whitespace().collect();
            return Ok((kind, STANDARD.decode(body)?));
        }
        rest = after;
    }
    Err(BadKey::NoPem)
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    let bytes = length.to_be_bytes();
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// `rsaEncryption` without parameters.
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// `ecPublicKey` on `prime256v1`.
const P256: &[u8] = &[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

/// A `SubjectPublicKeyInfo` (RFC 5280).
fn public_info(algorithm: &[u8], public: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend_from_slice(public);
    let content = [der(SEQUENCE, algorithm), der(BIT_STRING, &bits)].concat();
    der(SEQUENCE, &content)
}

impl Signer {
    /// Reads a private key.
    ///
    /// # Errors
    /// It is none, or not of a kind that can be used.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let random = SystemRandom::new();
        let (kind, bytes) = pem(text)?;
        let key = match kind {
            "RSA PRIVATE KEY" => Key::Rsa(RsaKeyPair::from_der(&bytes)?),
            "PRIVATE KEY" => match RsaKeyPair::from_pkcs8(&bytes) {
                Ok(key) => Key::Rsa(key),
                Err(_) => Key::Curve(EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &bytes,
                    &random,
                )?),
            },
            other => return Err(BadKey::Kind(other.to_owned())),
        };
        let info = match &key {
            Key::Rsa(key) => public_info(RSA, key.public_key().as_ref()),
            Key::Curve(key) => public_info(P256, key.public_key().as_ref()),
        };
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(info));
        Ok(Self { key, id, random })
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// The signature could not be made.
    pub fn sign(&self, claims: &Value) -> Result<String, NotSigned> {
        let algorithm = match &self.key {
            Key::Rsa(_) => "RS256",
            Key::Curve(_) => "ES256",
        };
        let header = json!({ "alg": algorithm, "kid": self.id });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let signature = match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &self.random, text.as_bytes(), &mut signature)
                    .map_err(|_| NotSigned)?;
                signature
            }
            Key::Curve(key) => key
                .sign(&self.random, text.as_bytes())
                .map_err(|_| NotSigned)?
                .as_ref()
                .to_vec(),
        };
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_der() {
        assert_eq!(der(0x04, &[1, 2]), [0x04, 2, 1, 2]);
        assert_eq!(der(0x04, &[0; 0x80])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(der(0x04, &[0; 0x123])[..4], [0x04, 0x82, 0x01, 0x23]);
    }

    #[test]
    fn other_pem_is_refused() {
        assert!(matches!(Signer::from_pem("nothing"), Err(BadKey::NoPem)));
        let text = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        assert!(matches!(Signer::from_pem(text), Err(BadKey::Kind(_))));
    }
}
