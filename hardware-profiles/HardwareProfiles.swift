/// The profile files that are built into the program, most demanding first.
public enum HardwareProfiles {
    public static let embedded: [[UInt8]] = [
        PackageResources.x86_64_avx512_json, PackageResources.x86_64_avx2_json, PackageResources.arm64_neon_json,
        PackageResources.portable_json,
    ]
}
