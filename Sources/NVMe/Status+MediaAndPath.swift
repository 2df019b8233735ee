/// Media and data integrity errors (SCT 2h; NVMe Base 2.0, Figure 99).
extension Status {
    /// Write Fault: the medium couldn't be written.
    public static let writeFault = Status(.media, 0x80)
    /// Unrecovered Read Error: the medium couldn't be read.
    public static let unrecoveredReadError = Status(.media, 0x81)
    /// End-to-end Guard Check Error: the data doesn't fit its checksum.
    public static let guardCheckError = Status(.media, 0x82)
    /// End-to-end Application Tag Check Error: the application tag isn't the expected one.
    public static let applicationTagCheckError = Status(.media, 0x83)
    /// End-to-end Reference Tag Check Error: the reference tag isn't the expected one.
    public static let referenceTagCheckError = Status(.media, 0x84)
    /// Compare Failure: the data on the medium differs from the data given.
    public static let compareFailure = Status(.media, 0x85)
    /// Access Denied: access to the range is locked.
    public static let accessDenied = Status(.media, 0x86)
    /// Deallocated or Unwritten Logical Block: the block was never written or has been deallocated.
    public static let deallocatedBlock = Status(.media, 0x87)
    /// End-to-end Storage Tag Check Error: the storage tag isn't the expected one.
    public static let storageTagCheckError = Status(.media, 0x88)
}

/// Path related status (SCT 3h; NVMe Base 2.0, Figure 100).
extension Status {
    /// Internal Path Error: the controller failed on the way to the namespace.
    public static let internalPathError = Status(.path, 0x00)
    /// Asymmetric Access Persistent Loss: the namespace can't be reached through this controller any more.
    public static let anaPersistentLoss = Status(.path, 0x01)
    /// Asymmetric Access Inaccessible: the namespace can't be reached through this controller at present.
    public static let anaInaccessible = Status(.path, 0x02)
    /// Asymmetric Access Transition: the way to the namespace is changing; try again.
    public static let anaTransition = Status(.path, 0x03)
    /// Controller Pathing Error: the controller found an error on the path.
    public static let controllerPathingError = Status(.path, 0x60)
    /// Host Pathing Error: the host found an error on the path.
    public static let hostPathingError = Status(.path, 0x70)
    /// Command Aborted By Host: the host gave the command up.
    public static let abortedByHost = Status(.path, 0x71)
}
