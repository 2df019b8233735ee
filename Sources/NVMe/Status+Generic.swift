/// Generic command status (SCT 0h; NVMe Base 2.0, Figures 95 and 96).
extension Status {
    /// Successful Completion: the command did what it was asked to do.
    public static let success = Status(.generic, 0x00)
    /// Invalid Command Opcode: the controller doesn't know this command.
    public static let invalidOpcode = Status(.generic, 0x01)
    /// Invalid Field in Command: a field of the command has a value that isn't allowed or not supported.
    public static let invalidField = Status(.generic, 0x02)
    /// Command ID Conflict: a command with this identifier is already in flight on the queue.
    public static let commandIDConflict = Status(.generic, 0x03)
    /// Data Transfer Error: the controller couldn't read or write the host's memory.
    public static let dataTransferError = Status(.generic, 0x04)
    /// Commands Aborted due to Power Loss Notification: power is about to go.
    public static let abortedPowerLoss = Status(.generic, 0x05)
    /// Internal Error: the controller failed for a reason of its own.
    public static let internalError = Status(.generic, 0x06)
    /// Command Abort Requested: an Abort command named this command.
    public static let abortRequested = Status(.generic, 0x07)
    /// Command Aborted due to SQ Deletion: the command's submission queue was deleted.
    public static let abortedQueueDeletion = Status(.generic, 0x08)
    /// Command Aborted due to Failed Fused Command: the other half of the fused pair failed.
    public static let abortedFailedFused = Status(.generic, 0x09)
    /// Command Aborted due to Missing Fused Command: the other half of the fused pair didn't come.
    public static let abortedMissingFused = Status(.generic, 0x0a)
    /// Invalid Namespace or Format: the namespace doesn't exist here, or has a format that doesn't fit the command.
    public static let invalidNamespace = Status(.generic, 0x0b)
    /// Command Sequence Error: the command came out of its order in a sequence.
    public static let commandSequenceError = Status(.generic, 0x0c)
    /// Invalid SGL Segment Descriptor: a segment of the scatter gather list is malformed.
    public static let invalidSGLSegment = Status(.generic, 0x0d)
    /// Invalid Number of SGL Descriptors: the scatter gather list has a number of descriptors that isn't allowed.
    public static let invalidSGLCount = Status(.generic, 0x0e)
    /// Data SGL Length Invalid: the scatter gather list is too short or too long for the data.
    public static let invalidSGLDataLength = Status(.generic, 0x0f)
    /// Metadata SGL Length Invalid: the scatter gather list is too short or too long for the metadata.
    public static let invalidSGLMetadataLength = Status(.generic, 0x10)
    /// SGL Descriptor Type Invalid: a scatter gather descriptor has a type that isn't supported.
    public static let invalidSGLType = Status(.generic, 0x11)
    /// Invalid Use of Controller Memory Buffer: the controller memory buffer can't be used that way.
    public static let invalidMemoryBufferUse = Status(.generic, 0x12)
    /// PRP Offset Invalid: a PRP entry that has to begin a page doesn't.
    public static let invalidPRPOffset = Status(.generic, 0x13)
    /// Atomic Write Unit Exceeded: the write is larger than what can be written atomically.
    public static let atomicWriteUnitExceeded = Status(.generic, 0x14)
    /// Operation Denied: the command isn't allowed for this host.
    public static let operationDenied = Status(.generic, 0x15)
    /// SGL Offset Invalid: the offset in a scatter gather descriptor is not allowed.
    public static let invalidSGLOffset = Status(.generic, 0x16)
    /// Host Identifier Inconsistent Format: hosts use identifiers of different length.
    public static let hostIdentifierInconsistent = Status(.generic, 0x18)
    /// Keep Alive Timer Expired: the host wasn't heard of in time.
    public static let keepAliveExpired = Status(.generic, 0x19)
    /// Keep Alive Timeout Invalid: the keep alive time isn't allowed.
    public static let invalidKeepAlive = Status(.generic, 0x1a)
    /// Command Aborted due to Preempt and Abort: another host took the reservation.
    public static let abortedPreempt = Status(.generic, 0x1b)
    /// Sanitize Failed: the last sanitize failed and has to be dealt with first.
    public static let sanitizeFailed = Status(.generic, 0x1c)
    /// Sanitize In Progress: the controller is being sanitized.
    public static let sanitizeInProgress = Status(.generic, 0x1d)
    /// SGL Data Block Granularity Invalid: a scatter gather block isn't aligned as the controller needs it.
    public static let invalidSGLGranularity = Status(.generic, 0x1e)
    /// Command Not Supported for Queue in CMB: the command can't be used on a queue in controller memory.
    public static let notSupportedInMemoryBuffer = Status(.generic, 0x1f)
    /// Namespace is Write Protected: the namespace can't be written to.
    public static let namespaceWriteProtected = Status(.generic, 0x20)
    /// Command Interrupted: the controller was busy with something else; try again.
    public static let commandInterrupted = Status(.generic, 0x21)
    /// Transient Transport Error: the transport had an error that may go away.
    public static let transientTransportError = Status(.generic, 0x22)
    /// Command Prohibited by Command and Feature Lockdown: the command has been locked.
    public static let prohibitedByLockdown = Status(.generic, 0x23)
    /// Admin Command Media Not Ready: the medium isn't ready for this command yet.
    public static let mediaNotReady = Status(.generic, 0x24)
    /// LBA Out of Range: the command reaches past the end of the namespace.
    public static let lbaOutOfRange = Status(.generic, 0x80)
    /// Capacity Exceeded: the namespace has no room left for the write.
    public static let capacityExceeded = Status(.generic, 0x81)
    /// Namespace Not Ready: the namespace can't be reached at the moment.
    public static let namespaceNotReady = Status(.generic, 0x82)
    /// Reservation Conflict: another host holds a reservation.
    public static let reservationConflict = Status(.generic, 0x83)
    /// Format In Progress: the namespace is being formatted.
    public static let formatInProgress = Status(.generic, 0x84)
    /// Invalid Value Size: the value of a key has a size that isn't allowed.
    public static let invalidValueSize = Status(.generic, 0x85)
    /// Invalid Key Size: the key has a size that isn't allowed.
    public static let invalidKeySize = Status(.generic, 0x86)
    /// KV Key Does Not Exist: there is no such key.
    public static let keyDoesNotExist = Status(.generic, 0x87)
    /// Unrecovered Error: the value of the key couldn't be read.
    public static let unrecoveredKeyValueError = Status(.generic, 0x88)
    /// Key Exists: the key is there already.
    public static let keyExists = Status(.generic, 0x89)
}
