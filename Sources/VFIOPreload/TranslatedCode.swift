import CLinux
import LinuxSystem
import SoftwareHost

/// The code of a guest that QEMU has translated, when the program is QEMU and doesn't use a processor that runs
/// guests by itself.
///
/// QEMU notices when a guest's processor or QEMU's own devices write where translated code came from. It doesn't
/// notice what others write into its memory, as the devices here do, and so a guest that loads programs from a disk
/// would run those that lay at the same place before. QEMU keeps its functions visible for its modules: with the one
/// that ends a device's use of memory (`address_space_unmap`) it is told of what was written. These functions are
/// QEMU's own affair; where one isn't there, nothing is told.
final class TranslatedCode: MemoryWriteObserver {
    /// `memory_region_from_host`: the region that memory of this process belongs to, with a place for the offset.
    private typealias RegionOfMemory = @convention(c) (UInt, UInt) -> UInt
    /// `memory_region_ref`: keeps a region.
    private typealias Keep = @convention(c) (UInt) -> Void
    /// `address_space_unmap`: gives memory back that was kept, after so many bytes of it were written.
    private typealias GiveBack = @convention(c) (UInt, UInt, UInt64, Bool, UInt64) -> Void

    private let regionOfMemory: RegionOfMemory
    private let keep: Keep
    private let giveBack: GiveBack
    /// `address_space_memory`: what the guest's processors see.
    private let addressSpace: UInt

    /// Nil unless the program is a QEMU that translates.
    init?() {
        // A byte that says whether QEMU translates; it is settled before there are devices.
        guard let isTranslating = Self.find("tcg_allowed"), clinux_load8(isTranslating) != 0,
            let regionOfMemory = Self.find("memory_region_from_host"),
            let keep = Self.find("memory_region_ref"),
            let giveBack = Self.find("address_space_unmap"),
            let addressSpace = Self.find("address_space_memory")
        else { return nil }
        // SAFETY: QEMU's functions of these names have had these types since version 2.6.
        self.regionOfMemory = unsafe unsafeBitCast(regionOfMemory, to: RegionOfMemory.self)
        self.keep = unsafe unsafeBitCast(keep, to: Keep.self)
        self.giveBack = unsafe unsafeBitCast(giveBack, to: GiveBack.self)
        self.addressSpace = addressSpace
    }

    private static func find(_ name: StaticString) -> UInt? {
        // SAFETY: a StaticString's text ends with a NUL; a name the program doesn't have is answered with nil.
        let address = unsafe UInt(
            bitPattern: clinux_program_symbol(
                UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)))
        return address == 0 ? nil : address
    }

    func deviceWrote(_ window: MemoryWindow) {
        let address = window.address.rawValue
        var offset: UInt64 = 0
        // SAFETY: the place for the offset is there for the time of the call.
        let region = unsafe withUnsafeMutablePointer(to: &offset) {
            regionOfMemory(address, UInt(bitPattern: $0))
        }
        // Memory that isn't the guest's, for example another device's registers.
        guard region != 0 else { return }
        // Giving back lets go of the region.
        keep(region)
        giveBack(addressSpace, address, UInt64(window.byteCount), true, UInt64(window.byteCount))
    }
}
