/// Which swift-vfio this is: the one place that says so.
enum Version {
    /// The number of this release, by semantic versioning.
    static let number = "0.8.0"
    /// When this was changed last, as manual pages have it.
    static let date = "November 22, 2026"
    /// What `vfio --version` prints.
    static let text = "vfio \(number)"
}
