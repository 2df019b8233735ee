import DeviceModel
import LinuxSystem

/// A container of Freescale's management complex ("dprc") with a few objects in it: a portal through which it carries out
/// commands, and an interrupt for changes.
///
/// A command is 64 bytes: a header and seven words. It is carried out when the header is written, and the answer lies in
/// its place.
public final class ManagementContainer: BusDeviceModel {
    /// The commands that it knows, as the header's top 16 bits have them.
    public enum Command {
        /// Opens the container: the answer's header has the token for the others.
        public static let open: UInt16 = 0x8051
        /// Ends that.
        public static let close: UInt16 = 0x8001
        /// Word 1 of the answer: the major and the minor version, 16 bits each.
        public static let version: UInt16 = 0xa051
        /// Word 1 of the answer, upper half: how many objects there are.
        public static let objectCount: UInt16 = 0x1591
        /// Word 1: which object; of the answer, upper half: its number. Words 4 and 5: its kind as text.
        public static let object: UInt16 = 0x15a1
        /// Resets the objects.
        public static let reset: UInt16 = 0x0051
    }

    /// What became of a command: bits 16 to 23 of the header.
    public enum Status {
        /// It was carried out.
        public static let done: UInt64 = 0
        /// It hasn't been carried out yet.
        public static let ready: UInt64 = 1
        /// The token is wrong.
        public static let authentication: UInt64 = 3
        /// Some argument is wrong.
        public static let configuration: UInt64 = 6
        /// There is no such command.
        public static let unsupported: UInt64 = 0xb
    }

    /// An object in the container.
    public struct Object: Sendable {
        /// Its kind: "dpni", "dpio", …; at most 16 bytes.
        public let type: String
        /// Its number.
        public let number: UInt32

        /// An object.
        public init(_ type: String, _ number: UInt32) {
            self.type = type
            self.number = number
        }
    }

    /// The token that an open container has.
    public static let token: UInt16 = 0x2a

    /// The portal; one interrupt.
    public let resources: BusResources
    private let objects: [Object]
    private var portal = [UInt64](repeating: 0, count: 8)
    private var isOpen = false
    /// How often the objects were reset.
    public private(set) var resetCount = 0
    /// Whether the complex has hung itself up: commands aren't carried out any more.
    public var isStuck = false

    /// A container with objects.
    public init(_ objects: [Object] = [Object("dpni", 1), Object("dpio", 4), Object("dpbp", 0)]) {
        self.objects = objects
        resources = BusResources(
            .fslMC(FSLMCIdentity(type: "dprc")),
            regions: [BusRegion(at: 0x8_0c01_0000, byteCount: 0x10000)], lines: [.edge])
    }

    /// A word of the portal; zeros behind it.
    public func readRegister(region: Int, offset: UInt64, width: Int) -> UInt64 {
        guard offset < 64, width == 8 else { return 0 }
        return portal[Int(offset / 8)]
    }

    /// Writes a word of the portal; the first one starts the command.
    public func writeRegister(region: Int, offset: UInt64, width: Int, value: UInt64) {
        guard offset < 64, width == 8 else { return }
        portal[Int(offset / 8)] = value
        if offset == 0 && !isStuck && value >> 16 & 0xff == Status.ready { carryOut() }
    }

    /// All objects are reset, and the portal is free.
    public func reset() throws(Errno) {
        for index in portal.indices { portal[index] = 0 }
        isOpen = false
        resetCount += 1
    }

    /// The container has changed: its interrupt tells that.
    public func announceChange() { resources.pulseLine(0) }

    private func carryOut() {
        let header = portal[0]
        let token = UInt16(truncatingIfNeeded: header >> 32)
        var answer = header & ~(0xff << 16)
        let status: UInt64
        switch UInt16(truncatingIfNeeded: header >> 48) {
        case Command.open:
            isOpen = true
            answer = answer & ~(0xffff << 32) | UInt64(Self.token) << 32
            status = Status.done
        case Command.version:
            portal[1] = 6 | 7 << 16
            status = Status.done
        case let command where !isOpen || token != Self.token:
            let known = [Command.close, Command.objectCount, Command.object, Command.reset]
            status = known.contains(command) ? Status.authentication : Status.unsupported
        case Command.close:
            isOpen = false
            status = Status.done
        case Command.objectCount:
            portal[1] = UInt64(objects.count) << 32
            status = Status.done
        case Command.object: status = describe(UInt32(truncatingIfNeeded: portal[1]))
        case Command.reset:
            resetCount += 1
            status = Status.done
        default: status = Status.unsupported
        }
        portal[0] = answer | status << 16
    }

    private func describe(_ index: UInt32) -> UInt64 {
        guard Int(index) < objects.count else { return Status.configuration }
        let object = objects[Int(index)]
        portal[1] = UInt64(object.number) << 32
        portal[4] = 0
        portal[5] = 0
        for (place, byte) in object.type.utf8.prefix(16).enumerated() {
            portal[4 + place / 8] |= UInt64(byte) << UInt64(8 * (place % 8))
        }
        return Status.done
    }
}
