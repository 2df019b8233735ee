/// Command specific status (SCT 1h; NVMe Base 2.0, Figures 97 and 98).
extension Status {
    /// Completion Queue Invalid: the completion queue that is named doesn't exist.
    public static let invalidCompletionQueue = Status(.commandSpecific, 0x00)
    /// Invalid Queue Identifier: the queue identifier is in use, doesn't exist or is out of range.
    public static let invalidQueueID = Status(.commandSpecific, 0x01)
    /// Invalid Queue Size: the queue size is zero or larger than the controller can have.
    public static let invalidQueueSize = Status(.commandSpecific, 0x02)
    /// Abort Command Limit Exceeded: more Abort commands are in flight than allowed.
    public static let abortLimitExceeded = Status(.commandSpecific, 0x03)
    /// Asynchronous Event Request Limit Exceeded: more event requests are waiting than allowed.
    public static let eventRequestLimitExceeded = Status(.commandSpecific, 0x05)
    /// Invalid Firmware Slot: the firmware slot doesn't exist or is read only.
    public static let invalidFirmwareSlot = Status(.commandSpecific, 0x06)
    /// Invalid Firmware Image: the firmware image isn't one that the controller can use.
    public static let invalidFirmwareImage = Status(.commandSpecific, 0x07)
    /// Invalid Interrupt Vector: the interrupt vector doesn't exist.
    public static let invalidInterruptVector = Status(.commandSpecific, 0x08)
    /// Invalid Log Page: the controller doesn't have this log page.
    public static let invalidLogPage = Status(.commandSpecific, 0x09)
    /// Invalid Format: the LBA format isn't supported.
    public static let invalidFormat = Status(.commandSpecific, 0x0a)
    /// Firmware Activation Requires Conventional Reset: the new firmware starts after a conventional reset.
    public static let firmwareNeedsConventionalReset = Status(.commandSpecific, 0x0b)
    /// Invalid Queue Deletion: the completion queue is still used by a submission queue.
    public static let invalidQueueDeletion = Status(.commandSpecific, 0x0c)
    /// Feature Identifier Not Saveable: the feature can't be saved.
    public static let featureNotSaveable = Status(.commandSpecific, 0x0d)
    /// Feature Not Changeable: the feature can't be changed.
    public static let featureNotChangeable = Status(.commandSpecific, 0x0e)
    /// Feature Not Namespace Specific: the feature is one of the whole controller.
    public static let featureNotNamespaceSpecific = Status(.commandSpecific, 0x0f)
    /// Firmware Activation Requires NVM Subsystem Reset: the new firmware starts after a subsystem reset.
    public static let firmwareNeedsSubsystemReset = Status(.commandSpecific, 0x10)
    /// Firmware Activation Requires Controller Level Reset: the new firmware starts after a controller reset.
    public static let firmwareNeedsControllerReset = Status(.commandSpecific, 0x11)
    /// Firmware Activation Requires Maximum Time Violation: starting the firmware would take longer than allowed.
    public static let firmwareNeedsMoreTime = Status(.commandSpecific, 0x12)
    /// Firmware Activation Prohibited: this firmware must not be started.
    public static let firmwareProhibited = Status(.commandSpecific, 0x13)
    /// Overlapping Range: ranges of the command overlap.
    public static let overlappingRange = Status(.commandSpecific, 0x14)
    /// Namespace Insufficient Capacity: there isn't enough room for the namespace.
    public static let namespaceInsufficientCapacity = Status(.commandSpecific, 0x15)
    /// Namespace Identifier Unavailable: no further namespace can be made.
    public static let namespaceIDUnavailable = Status(.commandSpecific, 0x16)
    /// Namespace Already Attached: the controller has this namespace already.
    public static let namespaceAlreadyAttached = Status(.commandSpecific, 0x18)
    /// Namespace Is Private: the namespace belongs to one controller only.
    public static let namespaceIsPrivate = Status(.commandSpecific, 0x19)
    /// Namespace Not Attached: the controller doesn't have this namespace.
    public static let namespaceNotAttached = Status(.commandSpecific, 0x1a)
    /// Thin Provisioning Not Supported: the namespace can't be larger than its capacity.
    public static let thinProvisioningNotSupported = Status(.commandSpecific, 0x1b)
    /// Controller List Invalid: the list of controllers is malformed.
    public static let invalidControllerList = Status(.commandSpecific, 0x1c)
    /// Device Self-test In Progress: a self-test is running.
    public static let selfTestInProgress = Status(.commandSpecific, 0x1d)
    /// Boot Partition Write Prohibited: the boot partition is locked.
    public static let bootPartitionWriteProhibited = Status(.commandSpecific, 0x1e)
    /// Invalid Controller Identifier: there is no such controller.
    public static let invalidControllerID = Status(.commandSpecific, 0x1f)
    /// Invalid Secondary Controller State: the secondary controller isn't in a state for this.
    public static let invalidSecondaryControllerState = Status(.commandSpecific, 0x20)
    /// Invalid Number of Controller Resources: that many resources can't be given.
    public static let invalidResourceCount = Status(.commandSpecific, 0x21)
    /// Invalid Resource Identifier: there is no such resource.
    public static let invalidResourceID = Status(.commandSpecific, 0x22)
    /// Sanitize Prohibited While Persistent Memory Region is Enabled: the persistent memory region has to be disabled first.
    public static let sanitizeProhibitedPersistentMemory = Status(.commandSpecific, 0x23)
    /// ANA Group Identifier Invalid: there is no such group of namespaces.
    public static let invalidANAGroupID = Status(.commandSpecific, 0x24)
    /// ANA Attach Failed: the namespace couldn't join its group.
    public static let anaAttachFailed = Status(.commandSpecific, 0x25)
    /// Insufficient Capacity: there isn't enough free capacity.
    public static let insufficientCapacity = Status(.commandSpecific, 0x26)
    /// Namespace Attachment Limit Exceeded: the controller can't have more namespaces.
    public static let namespaceAttachmentLimitExceeded = Status(.commandSpecific, 0x27)
    /// Prohibition of Command Execution Not Supported: this command can't be locked.
    public static let prohibitionNotSupported = Status(.commandSpecific, 0x28)
    /// I/O Command Set Not Supported: the controller doesn't have this command set.
    public static let commandSetNotSupported = Status(.commandSpecific, 0x29)
    /// I/O Command Set Not Enabled: the command set isn't enabled.
    public static let commandSetNotEnabled = Status(.commandSpecific, 0x2a)
    /// I/O Command Set Combination Rejected: these command sets can't be enabled together.
    public static let commandSetCombinationRejected = Status(.commandSpecific, 0x2b)
    /// Invalid I/O Command Set: the command set isn't one that can be chosen.
    public static let invalidCommandSet = Status(.commandSpecific, 0x2c)
    /// Identifier Unavailable: no free identifier is left.
    public static let identifierUnavailable = Status(.commandSpecific, 0x2d)
    /// Invalid Directive Identifier: the directive isn't known or not enabled.
    public static let invalidDirectiveID = Status(.commandSpecific, 0x70)
    /// Conflicting Attributes: attributes of the command don't fit together.
    public static let conflictingAttributes = Status(.commandSpecific, 0x80)
    /// Invalid Protection Information: the protection fields don't fit the namespace's format.
    public static let invalidProtectionInformation = Status(.commandSpecific, 0x81)
    /// Attempted Write to Read Only Range: the range can't be written to.
    public static let writeToReadOnlyRange = Status(.commandSpecific, 0x82)
    /// Command Size Limit Exceeded: the command covers more blocks than the controller allows.
    public static let commandSizeLimitExceeded = Status(.commandSpecific, 0x83)
    /// Zoned Boundary Error: the command crosses the end of a zone.
    public static let zoneBoundaryError = Status(.commandSpecific, 0xb8)
    /// Zone Is Full: the zone has no room left.
    public static let zoneIsFull = Status(.commandSpecific, 0xb9)
    /// Zone Is Read Only: the zone can't be written to.
    public static let zoneIsReadOnly = Status(.commandSpecific, 0xba)
    /// Zone Is Offline: the zone can't be reached.
    public static let zoneIsOffline = Status(.commandSpecific, 0xbb)
    /// Zone Invalid Write: the write doesn't begin at the zone's write pointer.
    public static let zoneInvalidWrite = Status(.commandSpecific, 0xbc)
    /// Too Many Active Zones: no further zone can be active.
    public static let tooManyActiveZones = Status(.commandSpecific, 0xbd)
    /// Too Many Open Zones: no further zone can be open.
    public static let tooManyOpenZones = Status(.commandSpecific, 0xbe)
    /// Invalid Zone State Transition: the zone can't go to this state.
    public static let invalidZoneTransition = Status(.commandSpecific, 0xbf)
}
