// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that users of the library never build it.
let package = Package(
    name: "swift-vfio-benchmarks",
    dependencies: [
        .package(name: "swift-vfio", path: "..")
    ],
    targets: [
        .executableTarget(
            name: "benchmarks",
            dependencies: [
                .product(name: "IOVASpace", package: "swift-vfio"),
                .product(name: "VFIO", package: "swift-vfio"),
                .product(name: "NVMeDriver", package: "swift-vfio"),
                .product(name: "SoftwareHost", package: "swift-vfio"),
                .product(name: "VFIOUser", package: "swift-vfio"),
                .product(name: "VFIOGuest", package: "swift-vfio"),
            ],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("MemberImportVisibility"),
            ])
    ]
)
