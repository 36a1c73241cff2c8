//! A key pair and the proof that we have it: a PKCS #10 request (RFC 2986) that says nothing but the public key.

use p521::elliptic_curve::sec1::ToEncodedPoint as _;
use p521::pkcs8::EncodePrivateKey as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use rsa::pkcs8::EncodePublicKey as _;
use rsa::signature::{RandomizedSigner as _, SignatureEncoding as _, Signer as _};

use crate::volume::trust::pem;

/// A new key.
pub(super) struct Made {
    /// PKCS #8 in PEM.
    pub pem: Vec<u8>,
    /// The request, DER.
    pub proof: Vec<u8>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyError {
    #[error("unknown key type {0:?}")]
    Unknown(String),
    #[error("a key of type {kind} could not be made: {why}")]
    Failed { kind: &'static str, why: String },
}

// Object identifiers, whole with tag and length.
const EC_PUBLIC_KEY: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 5, 0x2b, 0x81, 0x04, 0, 0x22];
const P521: &[u8] = &[0x06, 5, 0x2b, 0x81, 0x04, 0, 0x23];
const ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_SHA512: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const RSA_SHA256: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
const NULL: &[u8] = &[0x05, 0];
/// A PKCS #8 v1 Ed25519 key up to its 32 bytes (RFC 8410): v2, with the public key, is not read everywhere.
const ED25519_PKCS8: &[u8] = &[
    0x30, 0x2e, 0x02, 1, 0, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// Makes a key of a `keyType` of the API.
///
/// # Errors
/// There is no such type, or the random source fails.
pub(super) fn make(kind: &str) -> Result<Made, KeyError> {
    match kind {
        "ECDSAP256" => ec(&ECDSA_P256_SHA256_ASN1_SIGNING, P256, ECDSA_SHA256),
        "ECDSAP384" => ec(&ECDSA_P384_SHA384_ASN1_SIGNING, P384, ECDSA_SHA384),
        "ECDSAP521" => ec_521(),
        "ED25519" => ed25519(),
        "RSA3072" => rsa_of(3072),
        "RSA4096" => rsa_of(4096),
        other => Err(KeyError::Unknown(other.to_owned())),
    }
}

fn failed<E: std::fmt::Display>(kind: &'static str) -> impl Fn(E) -> KeyError {
    move |error| KeyError::Failed {
        kind,
        why: error.to_string(),
    }
}

fn ec(algorithm: &'static EcdsaSigningAlgorithm, curve: &[u8], signature: &[u8]) -> Result<Made, KeyError> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed("ECDSA"))?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).map_err(failed("ECDSA"))?;
    let info = info(&public(&[EC_PUBLIC_KEY, curve], key.public_key().as_ref()));
    let signed = key.sign(&random, &info).map_err(failed("ECDSA"))?;
    Ok(made(pkcs8.as_ref(), &info, &[signature], signed.as_ref()))
}

fn ec_521() -> Result<Made, KeyError> {
    let secret = p521::SecretKey::random(&mut rsa::rand_core::OsRng);
    let pkcs8 = secret.to_pkcs8_der().map_err(failed("ECDSAP521"))?;
    let point = secret.public_key().to_encoded_point(false);
    let info = info(&public(&[EC_PUBLIC_KEY, P521], point.as_bytes()));
    let key = p521::ecdsa::SigningKey::from_slice(&secret.to_bytes()).map_err(failed("ECDSAP521"))?;
    let signed: p521::ecdsa::Signature = key
        .try_sign_with_rng(&mut rsa::rand_core::OsRng, &info)
        .map_err(failed("ECDSAP521"))?;
    Ok(made(
        pkcs8.as_bytes(),
        &info,
        &[ECDSA_SHA512],
        signed.to_der().as_bytes(),
    ))
}

fn ed25519() -> Result<Made, KeyError> {
    let mut seed = [0_u8; 32];
    SystemRandom::new().fill(&mut seed).map_err(failed("ED25519"))?;
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(failed("ED25519"))?;
    let info = info(&public(&[ED25519], key.public_key().as_ref()));
    let pkcs8 = [ED25519_PKCS8, &seed].concat();
    Ok(made(&pkcs8, &info, &[ED25519], key.sign(&info).as_ref()))
}

fn rsa_of(bits: usize) -> Result<Made, KeyError> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).map_err(failed("RSA"))?;
    let pkcs8 = key.to_pkcs8_der().map_err(failed("RSA"))?;
    let public = key.to_public_key().to_public_key_der().map_err(failed("RSA"))?;
    let info = info(public.as_bytes());
    let signed = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new(key)
        .try_sign(&info)
        .map_err(failed("RSA"))?;
    Ok(made(
        pkcs8.as_bytes(),
        &info,
        &[RSA_SHA256, NULL],
        &signed.to_bytes(),
    ))
}

/// `SubjectPublicKeyInfo`.
fn public(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&der(SEQUENCE, algorithm), &bits(key)])
}

/// `CertificationRequestInfo`: version 0, no name, the key, no attributes.
fn info(public: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&[0x02, 1, 0], &[SEQUENCE, 0], public, &[0xa0, 0]])
}

fn made(pkcs8: &[u8], info: &[u8], algorithm: &[&[u8]], signature: &[u8]) -> Made {
    Made {
        pem: pem("PRIVATE KEY", pkcs8),
        proof: der(SEQUENCE, &[info, &der(SEQUENCE, algorithm), &bits(signature)]),
    }
}

fn bits(data: &[u8]) -> Vec<u8> {
    der(BIT_STRING, &[&[0], data])
}

/// Tag, length and what is in it.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let bytes = bytes.get(zeros..).unwrap_or_default();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
            out.extend_from_slice(bytes);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

    #[test]
    fn every_kind_of_key_proves_itself() {
        // The parser has no P-521; making an RSA key of 4096 bits takes long.
        for (kind, verified) in [
            ("ECDSAP256", true),
            ("ECDSAP384", true),
            ("ECDSAP521", false),
            ("ED25519", true),
            ("RSA3072", true),
        ] {
            let made = make(kind).unwrap();
            let (rest, request) = X509CertificationRequest::from_der(&made.proof).unwrap();
            assert!(rest.is_empty(), "{kind}");
            assert_eq!(request.certification_request_info.subject.iter().count(), 0);
            if verified {
                request.verify_signature().unwrap();
            } else {
                use rsa::signature::Verifier as _;
                let info = &request.certification_request_info;
                let point = &info.subject_pki.subject_public_key.data;
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).unwrap();
                let signature = p521::ecdsa::Signature::from_der(&request.signature_value.data).unwrap();
                key.verify(info.raw, &signature).unwrap();
            }
            let text = String::from_utf8(made.pem).unwrap();
            assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\nM"), "{text}");
        }
        assert_eq!(make("DSA").err().unwrap().to_string(), "unknown key type \"DSA\"");
    }

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        for (length, want) in [
            (0_usize, &[0x04, 0][..]),
            (127, &[0x04, 127]),
            (128, &[0x04, 0x81, 128]),
            (256, &[0x04, 0x82, 1, 0]),
        ] {
            assert_eq!(&der(0x04, &[&vec![0; length]])[..want.len()], want);
        }
    }
}
