//! gRPC reflection of the public part of the contract: services with at least one PUBLIC RPC, and what they need.

use keywright_proto::{Exposure, pool, rule_of};
use prost_reflect::{FileDescriptor, ServiceDescriptor};
use std::{collections::BTreeMap, sync::LazyLock};
use tonic_reflection::server::{Builder, Error, v1, v1alpha};

const HEALTH: &str = "grpc.health.v1.Health";

/// The names of the public services, and an encoded descriptor set of their files with all that these import.
static PUBLIC: LazyLock<(Vec<String>, Vec<u8>)> = LazyLock::new(public);

pub fn reflect_v1() -> Result<v1::ServerReflectionServer<impl v1::ServerReflection>, Error> {
    builder("grpc.reflection.v1.ServerReflection").build_v1()
}

/// Still what many clients ask first.
pub fn reflect_v1alpha() -> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>, Error> {
    builder("grpc.reflection.v1alpha.ServerReflection").build_v1alpha()
}

fn builder(itself: &str) -> Builder<'static> {
    let (names, files) = &*PUBLIC;
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(files)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(HEALTH)
        .with_service_name(itself);
    names.iter().fold(builder, |builder, name| builder.with_service_name(name))
}

fn public() -> (Vec<String>, Vec<u8>) {
    let mut names = Vec::new();
    let mut files = BTreeMap::new();
    for service in pool().services().filter(is_public) {
        names.push(service.full_name().to_owned());
        collect(service.parent_file(), &mut files);
    }
    // As compiled: a set that was decoded into structs and encoded again loses its extension options.
    let set = files.into_values().fold(Vec::new(), |mut set, file: FileDescriptor| {
        let bytes = file.encode_to_vec();
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut set);
        prost::encoding::encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), &mut set);
        set.extend(bytes);
        set
    });
    (names, set)
}

fn is_public(service: &ServiceDescriptor) -> bool {
    service.methods().any(|method| rule_of(&method).is_ok_and(|rule| rule.exposure == Exposure::Public))
}

fn collect(file: FileDescriptor, files: &mut BTreeMap<String, FileDescriptor>) {
    if files.contains_key(file.name()) {
        return;
    }
    files.insert(file.name().to_owned(), file.clone());
    for dependency in file.dependencies() {
        collect(dependency, files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_reflect::DescriptorPool;

    #[test]
    fn internal_services_are_not_shown_and_routes_are() {
        let (names, set) = public();
        assert!(names.contains(&"keywright.credential.v1.TenantService".to_owned()));
        assert!(
            !names.iter().any(|name| name.ends_with("CustodyService") || name.ends_with("ReleaseService"))
        );
        let shown = DescriptorPool::decode(set.as_slice()).unwrap();
        assert!(shown.get_service_by_name("keywright.credential.v1.ReleaseService").is_none());
        assert!(shown.get_extension_by_name("google.api.http").is_some());
        assert!(reflect_v1().is_ok() && reflect_v1alpha().is_ok());
    }
}
