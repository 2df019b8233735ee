import DeviceModel
import IOVASpace
import LinuxSystem
import SoftwareDevices
import SoftwareHost
import Synchronization
import VFIO
import VFIOHost

/// Where the cards of a test sit.
func cardAddress(_ index: Int) -> PCIAddress { PCIAddress(bus: 3 + UInt8(index), device: 0, function: 0) }

/// A machine with these cards, each in a group of its own.
func networkMachine(_ cards: [any DeviceModel]) throws -> SoftwareHost {
    var description = MachineDescription()
    description.iommu = IOMMU(.type1, pageSizes: [.kib4], apertures: [0...0x7f_ffff_ffff])
    description.groups = cards.enumerated().map { index, card in
        IOMMUGroup(30 + index, devices: [PCIDevice(card, at: cardAddress(index))])
    }
    return try SoftwareHost(description)
}

/// Memory that a driver shares with its card, which other threads may drive: the sanitizers don't look at what the
/// system copies.
final class SharedMemory {
    let memory: DMAMemory
    var base: UInt64 { memory.iova.rawValue }

    init(_ space: AddressSpace, byteCount: Int) throws {
        memory = try space.allocate(byteCount: byteCount, below: IOVA(1 << 32))
    }

    private func place(_ offset: Int, _ count: Int) -> HostAddress {
        precondition(offset >= 0 && offset + count <= memory.byteCount)
        return memory.window.address + offset
    }

    func load<T: BitwiseCopyable>(_ initial: T, at offset: Int) -> T {
        var value = initial
        withUnsafeMutableBytes(of: &value) {
            var span = MutableRawSpan(_unsafeBytes: $0)
            do { try UserMemory.read(from: place(offset, MemoryLayout<T>.size), into: &span) } catch {
                fatalError("the test's own memory can't be read")
            }
        }
        return value
    }

    func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        withUnsafeBytes(of: value) {
            do {
                try UserMemory.write(
                    RawSpan(_unsafeBytes: $0), to: place(offset, MemoryLayout<T>.size))
            } catch { fatalError("the test's own memory can't be written") }
        }
    }

    func bytes(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        bytes.withUnsafeMutableBytes {
            var span = MutableRawSpan(_unsafeBytes: $0)
            do { try UserMemory.read(from: place(offset, count), into: &span) } catch {
                fatalError("the test's own memory can't be read")
            }
        }
        return bytes
    }

    func put(_ bytes: [UInt8], at offset: Int) {
        bytes.withUnsafeBytes {
            do { try UserMemory.write(RawSpan(_unsafeBytes: $0), to: place(offset, bytes.count)) } catch {
                fatalError("the test's own memory can't be written")
            }
        }
    }
}

/// An end of a wire that keeps what arrives.
final class Listener: WireEnd {
    private let frames = Mutex<[[UInt8]]>([])
    private let changes = Mutex(0)

    func receive(_ frame: RawSpan) -> Bool {
        let bytes = frame.withUnsafeBytes { Array($0) }
        frames.withLock { $0.append(bytes) }
        return true
    }

    func linkChanged() { changes.withLock { $0 += 1 } }

    /// What has arrived, which is forgotten.
    func take() -> [[UInt8]] {
        frames.withLock { frames in
            let taken = frames
            frames = []
            return taken
        }
    }

    var linkChanges: Int { changes.withLock { $0 } }
}

extension WirePort {
    func send(_ bytes: [UInt8]) { bytes.withUnsafeBytes { send(RawSpan(_unsafeBytes: $0)) } }
}

/// Numbers that follow from a seed.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    /// A new seed, which is printed.
    init(printing title: String) {
        var system = SystemRandomNumberGenerator()
        let seed = system.next()
        print("\(title): seed \(seed)")
        self.init(seed)
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

let broadcast: [UInt8] = [255, 255, 255, 255, 255, 255]

/// A frame of a type that nobody knows.
func frame(
    to destination: [UInt8] = broadcast, from source: [UInt8] = [2, 0, 0, 0, 0, 9], count: Int,
    _ seed: UInt8 = 0
) -> [UInt8] {
    let rest = (0..<max(0, count - 14)).map { UInt8(truncatingIfNeeded: $0 &* 31) &+ seed }
    return destination + source + [0x88, 0xb5] + rest
}

extension MACAddress {
    var bytes: [UInt8] { (0..<6).map { self[$0] } }
}
