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
]

func target(_ name: String, on dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: embedded)
}

let package = Package(
    name: "swift-vfio-embedded",
    targets: [
        .systemLibrary(name: "CLinux"),
        target("VFIOABI"),
        target("NVMe"),
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
