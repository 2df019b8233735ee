extension Status {
    /// The specification's name of the status; nil when it isn't known here.
    public var name: String? { text?.name }

    /// What the status says, in plain words; nil when it isn't known here.
    public var meaning: String? { text?.meaning }

    private var text: (name: String, meaning: String)? {
        switch rawValue >> 8 & 7 {
        case 0: Status.genericText(code)
        case 1: Status.commandSpecificText(code)
        case 2: Status.mediaText(code)
        case 3: Status.pathText(code)
        default: nil
        }
    }

    private static func genericText(_ code: UInt8) -> (String, String)? {
        switch code {
        case 0x00: ("Successful Completion", "the command did what it was asked to do")
        case 0x01: ("Invalid Command Opcode", "the controller doesn't know this command")
        case 0x02:
            (
                "Invalid Field in Command",
                "a field of the command has a value that isn't allowed or not supported"
            )
        case 0x03: ("Command ID Conflict", "a command with this identifier is already in flight on the queue")
        case 0x04: ("Data Transfer Error", "the controller couldn't read or write the host's memory")
        case 0x05: ("Commands Aborted due to Power Loss Notification", "power is about to go")
        case 0x06: ("Internal Error", "the controller failed for a reason of its own")
        case 0x07: ("Command Abort Requested", "an Abort command named this command")
        case 0x08: ("Command Aborted due to SQ Deletion", "the command's submission queue was deleted")
        case 0x09: ("Command Aborted due to Failed Fused Command", "the other half of the fused pair failed")
        case 0x0a:
            (
                "Command Aborted due to Missing Fused Command",
                "the other half of the fused pair didn't come"
            )
        case 0x0b:
            (
                "Invalid Namespace or Format",
                "the namespace doesn't exist here, or has a format that doesn't fit the command"
            )
        case 0x0c: ("Command Sequence Error", "the command came out of its order in a sequence")
        case 0x0d: ("Invalid SGL Segment Descriptor", "a segment of the scatter gather list is malformed")
        case 0x0e:
            (
                "Invalid Number of SGL Descriptors",
                "the scatter gather list has a number of descriptors that isn't allowed"
            )
        case 0x0f:
            (
                "Data SGL Length Invalid",
                "the scatter gather list is too short or too long for the data"
            )
        case 0x10:
            (
                "Metadata SGL Length Invalid",
                "the scatter gather list is too short or too long for the metadata"
            )
        case 0x11:
            (
                "SGL Descriptor Type Invalid",
                "a scatter gather descriptor has a type that isn't supported"
            )
        case 0x12:
            (
                "Invalid Use of Controller Memory Buffer",
                "the controller memory buffer can't be used that way"
            )
        case 0x13: ("PRP Offset Invalid", "a PRP entry that has to begin a page doesn't")
        case 0x14: ("Atomic Write Unit Exceeded", "the write is larger than what can be written atomically")
        case 0x15: ("Operation Denied", "the command isn't allowed for this host")
        case 0x16: ("SGL Offset Invalid", "the offset in a scatter gather descriptor is not allowed")
        case 0x18: ("Host Identifier Inconsistent Format", "hosts use identifiers of different length")
        case 0x19: ("Keep Alive Timer Expired", "the host wasn't heard of in time")
        case 0x1a: ("Keep Alive Timeout Invalid", "the keep alive time isn't allowed")
        case 0x1b: ("Command Aborted due to Preempt and Abort", "another host took the reservation")
        case 0x1c: ("Sanitize Failed", "the last sanitize failed and has to be dealt with first")
        case 0x1d: ("Sanitize In Progress", "the controller is being sanitized")
        case 0x1e:
            (
                "SGL Data Block Granularity Invalid",
                "a scatter gather block isn't aligned as the controller needs it"
            )
        case 0x1f:
            (
                "Command Not Supported for Queue in CMB",
                "the command can't be used on a queue in controller memory"
            )
        case 0x20: ("Namespace is Write Protected", "the namespace can't be written to")
        case 0x21: ("Command Interrupted", "the controller was busy with something else; try again")
        case 0x22: ("Transient Transport Error", "the transport had an error that may go away")
        case 0x23: ("Command Prohibited by Command and Feature Lockdown", "the command has been locked")
        case 0x24: ("Admin Command Media Not Ready", "the medium isn't ready for this command yet")
        case 0x80: ("LBA Out of Range", "the command reaches past the end of the namespace")
        case 0x81: ("Capacity Exceeded", "the namespace has no room left for the write")
        case 0x82: ("Namespace Not Ready", "the namespace can't be reached at the moment")
        case 0x83: ("Reservation Conflict", "another host holds a reservation")
        case 0x84: ("Format In Progress", "the namespace is being formatted")
        case 0x85: ("Invalid Value Size", "the value of a key has a size that isn't allowed")
        case 0x86: ("Invalid Key Size", "the key has a size that isn't allowed")
        case 0x87: ("KV Key Does Not Exist", "there is no such key")
        case 0x88: ("Unrecovered Error", "the value of the key couldn't be read")
        case 0x89: ("Key Exists", "the key is there already")
        default: nil
        }
    }

    private static func commandSpecificText(_ code: UInt8) -> (String, String)? {
        switch code {
        case 0x00: ("Completion Queue Invalid", "the completion queue that is named doesn't exist")
        case 0x01:
            (
                "Invalid Queue Identifier",
                "the queue identifier is in use, doesn't exist or is out of range"
            )
        case 0x02: ("Invalid Queue Size", "the queue size is zero or larger than the controller can have")
        case 0x03: ("Abort Command Limit Exceeded", "more Abort commands are in flight than allowed")
        case 0x05:
            (
                "Asynchronous Event Request Limit Exceeded",
                "more event requests are waiting than allowed"
            )
        case 0x06: ("Invalid Firmware Slot", "the firmware slot doesn't exist or is read only")
        case 0x07: ("Invalid Firmware Image", "the firmware image isn't one that the controller can use")
        case 0x08: ("Invalid Interrupt Vector", "the interrupt vector doesn't exist")
        case 0x09: ("Invalid Log Page", "the controller doesn't have this log page")
        case 0x0a: ("Invalid Format", "the LBA format isn't supported")
        case 0x0b:
            (
                "Firmware Activation Requires Conventional Reset",
                "the new firmware starts after a conventional reset"
            )
        case 0x0c: ("Invalid Queue Deletion", "the completion queue is still used by a submission queue")
        case 0x0d: ("Feature Identifier Not Saveable", "the feature can't be saved")
        case 0x0e: ("Feature Not Changeable", "the feature can't be changed")
        case 0x0f: ("Feature Not Namespace Specific", "the feature is one of the whole controller")
        case 0x10:
            (
                "Firmware Activation Requires NVM Subsystem Reset",
                "the new firmware starts after a subsystem reset"
            )
        case 0x11:
            (
                "Firmware Activation Requires Controller Level Reset",
                "the new firmware starts after a controller reset"
            )
        case 0x12:
            (
                "Firmware Activation Requires Maximum Time Violation",
                "starting the firmware would take longer than allowed"
            )
        case 0x13: ("Firmware Activation Prohibited", "this firmware must not be started")
        case 0x14: ("Overlapping Range", "ranges of the command overlap")
        case 0x15: ("Namespace Insufficient Capacity", "there isn't enough room for the namespace")
        case 0x16: ("Namespace Identifier Unavailable", "no further namespace can be made")
        case 0x18: ("Namespace Already Attached", "the controller has this namespace already")
        case 0x19: ("Namespace Is Private", "the namespace belongs to one controller only")
        case 0x1a: ("Namespace Not Attached", "the controller doesn't have this namespace")
        case 0x1b: ("Thin Provisioning Not Supported", "the namespace can't be larger than its capacity")
        case 0x1c: ("Controller List Invalid", "the list of controllers is malformed")
        case 0x1d: ("Device Self-test In Progress", "a self-test is running")
        case 0x1e: ("Boot Partition Write Prohibited", "the boot partition is locked")
        case 0x1f: ("Invalid Controller Identifier", "there is no such controller")
        case 0x20:
            (
                "Invalid Secondary Controller State",
                "the secondary controller isn't in a state for this"
            )
        case 0x21: ("Invalid Number of Controller Resources", "that many resources can't be given")
        case 0x22: ("Invalid Resource Identifier", "there is no such resource")
        case 0x23:
            (
                "Sanitize Prohibited While Persistent Memory Region is Enabled",
                "the persistent memory region has to be disabled first"
            )
        case 0x24: ("ANA Group Identifier Invalid", "there is no such group of namespaces")
        case 0x25: ("ANA Attach Failed", "the namespace couldn't join its group")
        case 0x26: ("Insufficient Capacity", "there isn't enough free capacity")
        case 0x27: ("Namespace Attachment Limit Exceeded", "the controller can't have more namespaces")
        case 0x28: ("Prohibition of Command Execution Not Supported", "this command can't be locked")
        case 0x29: ("I/O Command Set Not Supported", "the controller doesn't have this command set")
        case 0x2a: ("I/O Command Set Not Enabled", "the command set isn't enabled")
        case 0x2b: ("I/O Command Set Combination Rejected", "these command sets can't be enabled together")
        case 0x2c: ("Invalid I/O Command Set", "the command set isn't one that can be chosen")
        case 0x2d: ("Identifier Unavailable", "no free identifier is left")
        case 0x70: ("Invalid Directive Identifier", "the directive isn't known or not enabled")
        case 0x80: ("Conflicting Attributes", "attributes of the command don't fit together")
        case 0x81:
            (
                "Invalid Protection Information",
                "the protection fields don't fit the namespace's format"
            )
        case 0x82: ("Attempted Write to Read Only Range", "the range can't be written to")
        case 0x83:
            (
                "Command Size Limit Exceeded",
                "the command covers more blocks than the controller allows"
            )
        case 0xb8: ("Zoned Boundary Error", "the command crosses the end of a zone")
        case 0xb9: ("Zone Is Full", "the zone has no room left")
        case 0xba: ("Zone Is Read Only", "the zone can't be written to")
        case 0xbb: ("Zone Is Offline", "the zone can't be reached")
        case 0xbc: ("Zone Invalid Write", "the write doesn't begin at the zone's write pointer")
        case 0xbd: ("Too Many Active Zones", "no further zone can be active")
        case 0xbe: ("Too Many Open Zones", "no further zone can be open")
        case 0xbf: ("Invalid Zone State Transition", "the zone can't go to this state")
        default: nil
        }
    }

    private static func mediaText(_ code: UInt8) -> (String, String)? {
        switch code {
        case 0x80: ("Write Fault", "the medium couldn't be written")
        case 0x81: ("Unrecovered Read Error", "the medium couldn't be read")
        case 0x82: ("End-to-end Guard Check Error", "the data doesn't fit its checksum")
        case 0x83: ("End-to-end Application Tag Check Error", "the application tag isn't the expected one")
        case 0x84: ("End-to-end Reference Tag Check Error", "the reference tag isn't the expected one")
        case 0x85: ("Compare Failure", "the data on the medium differs from the data given")
        case 0x86: ("Access Denied", "access to the range is locked")
        case 0x87:
            (
                "Deallocated or Unwritten Logical Block",
                "the block was never written or has been deallocated"
            )
        case 0x88: ("End-to-end Storage Tag Check Error", "the storage tag isn't the expected one")
        default: nil
        }
    }

    private static func pathText(_ code: UInt8) -> (String, String)? {
        switch code {
        case 0x00: ("Internal Path Error", "the controller failed on the way to the namespace")
        case 0x01:
            (
                "Asymmetric Access Persistent Loss",
                "the namespace can't be reached through this controller any more"
            )
        case 0x02:
            (
                "Asymmetric Access Inaccessible",
                "the namespace can't be reached through this controller at present"
            )
        case 0x03: ("Asymmetric Access Transition", "the way to the namespace is changing; try again")
        case 0x60: ("Controller Pathing Error", "the controller found an error on the path")
        case 0x70: ("Host Pathing Error", "the host found an error on the path")
        case 0x71: ("Command Aborted By Host", "the host gave the command up")
        default: nil
        }
    }
}
