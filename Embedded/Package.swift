// swift-tools-version: 6.2
import PackageDescription

// The lower floors, compiled a second time, in Embedded Swift: the same source files, through the link `Sources`.
// They will live in a small library that is loaded under foreign programs, where the normal runtime is too much.
// This package is nobody's dependency; Scripts/test builds it and runs EmbeddedCheck.

/// The house's own settings, and Embedded mode on top.
let embedded: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .enableExperimentalFeature("Volatile"),
    .enableExperimentalFeature("Embedded"),
    // The library stands in front of names that it uses itself (clinux.h).
    .unsafeFlags(["-Xcc", "-DCLINUX_DIRECT"]),
    // Functions in sections of their own, so that the linker can leave out what nobody calls. Exclusive access is checked
    // where the same files are compiled the other time; here the check's call does nothing, and costs.
    .unsafeFlags(["-Xfrontend", "-function-sections", "-Osize", "-enforce-exclusivity=unchecked"]),
]

func target(_ name: String, on dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: embedded)
}

let package = Package(
    name: "swift-vfio-embedded",
    products: [
        // Loaded under foreign programs by `vfio run`.
        .library(name: "vfio-preload", type: .dynamic, targets: ["VFIOPreload"])
    ],
    targets: [
        .systemLibrary(name: "CLinux"),
        target("VFIOABI"),
        target("NVMe"),
        target("JSONText"),
        target("LinuxSystem", on: ["CLinux"]),
        target("IOVASpace"),
        target("AccessDecoder"),
        target("VFIOHost", on: ["LinuxSystem", "VFIOABI"]),
        target("DeviceModel", on: ["VFIOABI", "LinuxSystem", "IOVASpace"]),
        target(
            "SoftwareHost",
            on: ["VFIOHost", "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target("NVMeController", on: ["DeviceModel", "NVMe", "LinuxSystem", "IOVASpace"]),
        target("SoftwareDevices", on: ["DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target(
            "MachineFormat",
            on: [
                "JSONText", "SoftwareHost", "NVMeController", "SoftwareDevices", "DeviceModel", "VFIOHost",
                "LinuxSystem",
            ]),
        .target(
            name: "VFIOPreload",
            dependencies: [
                "MachineFormat", "SoftwareHost", "JSONText", "VFIOHost", "AccessDecoder", "VFIOABI",
                "LinuxSystem", "CLinux",
            ],
            swiftSettings: embedded,
            linkerSettings: [
                // Dictionary's hashing and floating-point printing use it.
                .linkedLibrary("m"),
                // Only the interposed names are seen from outside.
                .unsafeFlags([
                    "-Xlinker", "--version-script=\(Context.packageDirectory)/Preload.map",
                    "-Xlinker", "-Bsymbolic", "-use-ld=lld", "-Xlinker", "--gc-sections",
                    // As small as can be: functions that are the same are one, relocations are packed.
                    "-Xlinker", "--icf=all", "-Xlinker", "-z", "-Xlinker", "pack-relative-relocs",
                ]),
            ]),
        .executableTarget(
            name: "EmbeddedCheck",
            dependencies: [
                "SoftwareHost", "NVMeController", "SoftwareDevices", "VFIOHost", "DeviceModel", "NVMe",
                "VFIOABI", "LinuxSystem", "IOVASpace", "CLinux",
            ],
            path: "Check",
            swiftSettings: embedded,
            // Dictionary's hashing and floating-point printing use it.
            linkerSettings: [.linkedLibrary("m")]),
    ]
)
