// swift-tools-version: 6.2
import PackageDescription

/// What every target of the house is compiled with.
let common: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]
/// What the targets in Sources are compiled with besides: each `unsafe` is marked.
let house = common + [.strictMemorySafety()]

/// A target of the house and the tests that belong to it.
func target(_ name: String, on dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: house)
}

/// Tests go without strict memory safety: the code that `#expect` expands to can't be marked.
func tests(
    _ name: String, on dependencies: [Target.Dependency], resources: [Resource]? = nil
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, resources: resources, swiftSettings: common)
}

/// A program of a tutorial, compiled as its reader compiles it. The page is Documentation/Tutorials/NAME.md.
func tutorial(_ name: String, on dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)",
        swiftSettings: [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)])
}

let package = Package(
    name: "swift-vfio",
    products: [
        .executable(name: "vfio", targets: ["VFIOCommand"]),
        .library(name: "VFIO", targets: ["VFIO", "VFIOHost", "VFIOABI", "LinuxSystem"]),
        .library(name: "NVMeDriver", targets: ["NVMeDriver"]),
        .library(name: "SoftwareHost", targets: ["SoftwareHost", "NVMeController", "SoftwareDevices"]),
        .library(name: "DeviceModel", targets: ["DeviceModel"]),
        .library(name: "VFIOConformance", targets: ["VFIOConformance"]),
        .library(name: "VFIOTrace", targets: ["VFIOTrace", "VFIOHost"]),
        .library(name: "VFIOOperator", targets: ["VFIOOperator", "PCIDecoder", "VFIOHost"]),
        .library(name: "IOVASpace", targets: ["IOVASpace"]),
        .library(name: "VFIOGuest", targets: ["VFIOGuest", "VFIO"]),
        .library(name: "VFIOUser", targets: ["VFIOUser", "DeviceModel", "SoftwareDevices", "LinuxSystem"]),
    ],
    dependencies: [
        // The command line's parsing, help and completion; used by the command only.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        // SHA-256 of a disk image in `vfio demo`; used by the command only.
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    ],
    targets: [
        // Floor 0: words.
        .systemLibrary(name: "CLinux"),
        target("VFIOABI"),
        target("NVMe"),
        target("JSONText"),
        // Floor 1: the machine below us, and one data structure.
        target("LinuxSystem", on: ["CLinux"]),
        target("IOVASpace"),
        target("AccessDecoder"),
        target("PCIDecoder"),
        // Floor 2: the two seams.
        target("VFIOHost", on: ["LinuxSystem", "VFIOABI"]),
        target("DeviceModel", on: ["VFIOABI", "LinuxSystem", "IOVASpace"]),
        // Floor 3: drive, and be.
        target("VFIO", on: ["VFIOHost", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target(
            "SoftwareHost",
            on: ["VFIOHost", "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target("VFIOTrace", on: ["VFIOHost", "VFIOABI", "NVMe", "LinuxSystem"]),
        target(
            "VFIOUser", on: ["JSONText", "VFIOHost", "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target("NVMeController", on: ["DeviceModel", "NVMe", "LinuxSystem", "IOVASpace"]),
        target("SoftwareDevices", on: ["DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        // Floor 4: drivers, and guests.
        target("VFIOGuest", on: ["VFIO", "VFIOHost", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        target("NVMeDriver", on: ["VFIO", "VFIOHost", "NVMe", "LinuxSystem", "IOVASpace"]),
        target(
            "MachineFormat",
            on: [
                "JSONText", "SoftwareHost", "NVMeController", "SoftwareDevices", "DeviceModel", "VFIOHost",
                "LinuxSystem",
            ]),
        target(
            "VFIOOperator",
            on: [
                "JSONText", "VFIO", "VFIOHost", "VFIOABI", "LinuxSystem", "IOVASpace", "PCIDecoder",
                "VFIOTrace",
                "NVMe",
            ]),
        target("VFIOConformance", on: ["VFIOTrace", "VFIOHost", "VFIOABI", "LinuxSystem"]),
        // Floor 5: the command.
        .executableTarget(
            name: "VFIOCommand",
            dependencies: [
                "VFIO", "VFIOGuest", "NVMeDriver", "SoftwareHost", "NVMeController", "SoftwareDevices",
                "MachineFormat", "JSONText", "VFIOUser", "VFIOTrace", "VFIOConformance", "VFIOOperator",
                "PCIDecoder", "VFIOHost",
                "DeviceModel", "NVMe",
                "VFIOABI", "LinuxSystem",
                "IOVASpace",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: house),

        tests(
            "VFIOCommandTests",
            on: [
                "VFIOCommand", "MachineFormat", "VFIOConformance", "SoftwareHost",
                "SoftwareDevices", "NVMeController", "VFIOHost", "LinuxSystem",
            ]),
        // C programs of Tests/Preload and tools on the software machine, by `vfio run` and the library of Embedded/.
        tests("PreloadTests", on: ["VFIOCommand"]),
        // What is done with a device in the kernel lab, written once: on a real kernel by the probe, on the
        // software host by a test.
        .target(
            name: "LabScenarios",
            dependencies: ["VFIOGuest", "VFIO", "VFIOHost", "VFIOABI", "LinuxSystem", "IOVASpace"],
            path: "Tests/LabScenarios", swiftSettings: house),
        .executableTarget(
            name: "KernelLabProbe", dependencies: ["LabScenarios", "VFIO", "VFIOHost", "LinuxSystem"],
            path: "Tests/KernelLabProbe", swiftSettings: house),
        tests(
            "LabScenarioTests",
            on: [
                "LabScenarios", "SoftwareHost", "SoftwareDevices", "NVMeController", "VFIO", "VFIOHost",
                "LinuxSystem",
            ]),

        // A host that fails and lies as it is told to, in front of any other.
        .target(
            name: "HostTestSupport", dependencies: ["VFIOHost", "VFIOABI", "LinuxSystem"],
            path: "Tests/HostTestSupport", swiftSettings: common),
        tests("VFIOABITests", on: ["VFIOTrace", "VFIOABI"], resources: [.copy("Resources")]),
        // The code that the pages of the libraries (Sources/*/*.docc) show, compiled and run.
        tests(
            "LibraryPageTests",
            on: [
                "JSONText", "NVMe", "PCIDecoder", "VFIOABI", "LinuxSystem", "IOVASpace", "VFIOHost",
                "DeviceModel",
                "VFIO", "VFIOTrace", "SoftwareHost", "NVMeController", "SoftwareDevices", "VFIOUser",
                "NVMeDriver",
                "VFIOGuest", "VFIOOperator", "VFIOConformance",
            ]),
        // Reads the sources as text and makes docs/coverage.md.
        tests("CoverageTests", on: []),
        tests(
            "VFIOTraceTests",
            on: [
                "VFIOTrace", "VFIOConformance", "NVMeDriver", "NVMeController", "SoftwareHost",
                "SoftwareDevices", "VFIO", "VFIOHost", "VFIOABI", "LinuxSystem",
            ]),
        tests("NVMeTests", on: ["NVMe"]),
        tests("AccessDecoderTests", on: ["AccessDecoder", "LinuxSystem"]),
        tests("PCIDecoderTests", on: ["PCIDecoder"]),
        tests(
            "VFIOOperatorTests",
            on: [
                "VFIOOperator", "SoftwareHost", "SoftwareDevices", "NVMeController", "VFIO", "VFIOHost",
                "PCIDecoder", "LinuxSystem", "JSONText",
            ]),
        tests("JSONTextTests", on: ["JSONText"]),
        // The pages in Documentation: their code, what their programs print, the names that they name.
        tutorial(
            "DriveADevice",
            on: ["VFIO", "VFIOHost", "SoftwareHost", "SoftwareDevices", "IOVASpace", "LinuxSystem"]),
        tutorial(
            "BeADevice",
            on: ["DeviceModel", "VFIOUser", "SoftwareHost", "VFIO", "VFIOHost", "IOVASpace", "LinuxSystem"]),
        tutorial(
            "MachineWithoutHardware",
            on: [
                "NVMeDriver", "NVMeController", "SoftwareHost", "DeviceModel", "VFIO", "VFIOHost",
                "LinuxSystem",
            ]),
        tutorial(
            "MoveADevice",
            on: ["VFIO", "VFIOHost", "SoftwareHost", "SoftwareDevices", "IOVASpace", "LinuxSystem"]),
        tests(
            "DocumentationTests",
            on: [
                "DriveADevice", "BeADevice", "MachineWithoutHardware", "MoveADevice", "MachineFormat",
                "SoftwareHost", "SoftwareDevices", "VFIO", "VFIOHost", "IOVASpace", "LinuxSystem",
            ]),
        tests("LinuxSystemTests", on: ["LinuxSystem"]),
        tests("IOVASpaceTests", on: ["IOVASpace"]),
        tests("VFIOHostTests", on: ["VFIOHost", "VFIOABI", "LinuxSystem"]),
        tests("DeviceModelTests", on: ["DeviceModel", "LinuxSystem", "IOVASpace"]),
        tests(
            "SoftwareHostTests",
            on: [
                "SoftwareHost", "SoftwareDevices", "VFIO", "VFIOHost", "DeviceModel", "VFIOABI",
                "LinuxSystem",
                "IOVASpace",
                "CLinux",
            ]),
        tests(
            "VFIOTests",
            on: [
                "HostTestSupport", "VFIO", "SoftwareHost", "SoftwareDevices", "VFIOHost", "DeviceModel",
                "VFIOABI",
                "LinuxSystem", "IOVASpace",
            ]),
        tests(
            "NVMeControllerTests", on: ["NVMeController", "NVMe", "DeviceModel", "LinuxSystem", "IOVASpace"]),
        tests(
            "VFIOUserTests",
            on: [
                "JSONText", "VFIOUser", "VFIO", "NVMeDriver", "VFIOHost", "SoftwareDevices", "NVMeController",
                "NVMe",
                "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace",
            ]),
        // A small virtual machine, and another process to which it is moved.
        .target(
            name: "MovedMachine",
            dependencies: [
                "VFIOGuest", "SoftwareHost", "SoftwareDevices", "VFIO", "VFIOHost", "DeviceModel",
                "LinuxSystem",
            ],
            path: "Tests/MovedMachine", swiftSettings: common),
        .executableTarget(
            name: "MigrationPeer", dependencies: ["MovedMachine", "VFIOGuest", "LinuxSystem"],
            path: "Tests/MigrationPeer", swiftSettings: common),
        tests(
            "VFIOGuestTests",
            on: [
                "HostTestSupport", "MovedMachine", "MigrationPeer", "VFIOGuest", "SoftwareHost",
                "SoftwareDevices",
                "VFIO", "VFIOHost", "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace",
            ]),
        // States of devices that are nearly right: some in each test run, millions by a program.
        .target(
            name: "StateFuzz", dependencies: ["DeviceModel", "SoftwareDevices", "NVMeController"],
            path: "Tests/StateFuzz", swiftSettings: common),
        .executableTarget(
            name: "FuzzStates", dependencies: ["StateFuzz", "LinuxSystem"], path: "Tests/FuzzStates",
            swiftSettings: common),
        tests(
            "SoftwareDevicesTests",
            on: ["StateFuzz", "SoftwareDevices", "DeviceModel", "VFIOABI", "LinuxSystem", "IOVASpace"]),
        tests(
            "NVMeDriverTests",
            on: [
                "HostTestSupport", "NVMeDriver", "NVMeController", "SoftwareHost", "VFIO", "VFIOHost", "NVMe",
                "VFIOABI", "DeviceModel", "LinuxSystem", "IOVASpace",
            ]),
    ]
)
