import LinuxSystem
import VFIOABI
import VFIOHost

/// What a hot reset of a device hits: every function of its slot or bus and of the buses below, whoever drives it.
public struct HotResetScope: Sendable, Equatable {
    /// The functions, in the host's order; the device itself is one of them.
    public let functions: [Function]

    /// A function that is reset along.
    public struct Function: Sendable, Equatable {
        /// Where it sits.
        public let address: PCIAddress
        /// Whose it is.
        public let owner: Owner
    }

    /// Whose a function is. Devices that were opened through groups are told groups; the others, what is theirs.
    public enum Owner: Sendable, Equatable {
        /// It belongs to whoever has the group with this number open.
        case group(Int)
        /// It is bound to the same iommufd, as an object with this number.
        case bound(UInt32)
        /// Nobody has it open, and another device of its group is bound to the same iommufd:
        /// `VFIO_PCI_DEVID_OWNED`.
        case ownGroup
        /// It is somebody else's, or has no driver of VFIO's: `VFIO_PCI_DEVID_NOT_OWNED`.
        case stranger
    }

    /// The function at an address; nil if the reset leaves it alone.
    public subscript(_ address: PCIAddress) -> Function? { functions.first { $0.address == address } }

    /// What is told of a device, if it is a function that the reset hits.
    public subscript(_ id: DeviceID) -> Function? { functions.first { $0.address == id.address } }

    /// The numbers of the groups, ascending; none for a device that was opened through its own node.
    public var groups: [Int] {
        var numbers: Set<Int> = []
        for function in functions {
            if case .group(let number) = function.owner { numbers.insert(number) }
        }
        return numbers.sorted()
    }
}

extension Device {
    /// What ``hotReset(with:)`` would hit: `VFIO_DEVICE_GET_PCI_HOT_RESET_INFO`.
    /// - Throws: ``VFIOError/Code/notSupported`` if neither its slot nor its bus can be reset, as on a root bus.
    public func hotResetScope() throws(VFIOError) -> HotResetScope {
        let operation = "ask what a hot reset would hit"
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try askHotReset()
        } catch {
            throw hotResetError(operation, error)
        }
        guard let header = bytes.get(PCIHotResetInfo.self) else {
            throw Diagnosis.malformed(operation, name, nil)
        }
        var functions: [HotResetScope.Function] = []
        for index in 0..<Int(header.count) {
            let offset = PCIHotResetInfo.byteCount + index * PCIDependentDevice.byteCount
            // More than there is room for.
            guard let record = bytes.get(PCIDependentDevice.self, at: offset) else {
                throw Diagnosis.malformed(operation, name, nil)
            }
            functions.append(function(record, namesDevices: header.flags.contains(.deviceID)))
        }
        let scope = HotResetScope(functions: functions)
        guard scope[id] != nil else { throw Diagnosis.malformed(operation, name, nil) }
        return scope
    }

    /// As many functions as a segment can have.
    private static let mostFunctions = 1 << 16

    private func askHotReset() throws(Errno) -> [UInt8] {
        // Enough for a device with all its functions; what needs more says how much.
        var room = 8
        var attempts = 0
        while true {
            let byteCount = PCIHotResetInfo.byteCount + room * PCIDependentDevice.byteCount
            var bytes = [UInt8](repeating: 0, count: byteCount)
            bytes.put(PCIHotResetInfo(argsz: UInt32(byteCount)), at: 0)
            do throws(Errno) {
                try handle.send(.deviceGetPCIHotResetInfo, bytes: &bytes)
                return bytes
            } catch {
                attempts += 1
                guard attempts < 8 else { throw error }
                switch error {
                case .noSpace:
                    let wanted = bytes.get(PCIHotResetInfo.self).map { Int($0.count) } ?? 0
                    guard wanted > room, wanted <= Self.mostFunctions else { throw error }
                    room = wanted
                case .again: continue  // Functions came or went while they were counted.
                default: throw error
                }
            }
        }
    }

    private func function(_ record: PCIDependentDevice, namesDevices: Bool) -> HotResetScope.Function {
        // The uAPI has room for 16 bits of the segment, and a bus is in one segment.
        let own = address?.segment ?? 0
        let segment = UInt16(truncatingIfNeeded: own) == record.segment ? own : UInt32(record.segment)
        let place = PCIAddress(
            segment: segment, bus: record.bus, device: record.deviceFunction >> 3,
            function: record.deviceFunction & 7)
        let owner: HotResetScope.Owner
        if namesDevices {
            owner =
                switch record.deviceID {
                case .owned: .ownGroup
                case .notOwned: .stranger
                default: .bound(record.deviceID.rawValue)
                }
        } else {
            owner = .group(Int(record.groupID))
        }
        return HotResetScope.Function(address: place, owner: owner)
    }
}
