import Testing

@Suite("vfio demo --guest")
struct GuestDemoTests {
    @Test("tells part by part what a guest's devices see, ends well and leaves nothing behind")
    func tells() throws {
        let outcome = try vfio("demo", "--guest")
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.errors.isEmpty)
        let lines = outcome.output.split(separator: "\n").map(String.init)
        let headings = lines.filter { !$0.hasPrefix(" ") }
        #expect(
            headings.dropLast() == [
                "1. A virtual machine", "2. A device", "3. Memory plugged and unplugged",
                "4. Memory in blocks, as virtio-mem has it", "5. An IOMMU of the guest's",
                "6. Which pages were written", "7. A live move", "8. Taken away",
            ])
        #expect(headings.last?.hasPrefix("Done in ") == true)
        for part in [
            "0xfffc0000  0xffffffff  256 KiB  firmware, read-only",
            "RAM at 0x0: mapped, the device reaches it",
            "at 0xe0000000: not mapped, since it isn't memory",
            "at 0xfffc0000, which the mapping doesn't allow; the firmware hasn't changed",
            "plugged at 0x100000000 in ", "locked in memory: 96.3 MiB with it, 64.3 MiB without",
            "the guest plugged 8 blocks in ", "10 MiB left in 5 mappings; refused: ",
            "all blocks plugged would take 32 mappings; the IOMMU takes 65,535",
            "the host has 1 mapping, and the device copies within the page",
            "there is nothing at 0x4000000", "the device wrote pages 100, 101, 517, 4000, 16383",
            ": exactly those", "asked again without a write between: 0 pages", "it was stopped for ",
            "64.3 MiB of memory and the states of both devices, byte for byte: the same",
            "there it goes on: it has counted to ", "locked memory is left on both machines",
        ] {
            #expect(outcome.output.contains(part), "no \"\(part)\" in: \(outcome.output)")
        }
        #expect(!outcome.output.contains("\u{1b}"), "escape sequences in a pipe")
    }

    @Test("tells a fault that is injected and ends with 1; what goes wrong in the background it notices")
    func faults() throws {
        let refused = try vfio("demo", "--guest", "--fault", "map-dma=ENOMEM@2")
        #expect(refused.code == 1)
        #expect(refused.errors.contains("ENOMEM"), "\(refused.errors)")
        // The bits of a write go wrong: the guest reads something else.
        let flipped = try vfio("demo", "--guest", "--fault", "dma-write:length=20=flip@1")
        #expect(flipped.code == 1)
        #expect(flipped.errors.contains("the device copied"), "\(flipped.errors)")
    }

    @Test("has no disk, so an image is wrong usage")
    func image() throws {
        let outcome = try vfio("demo", "--guest", "--image", "disk.img")
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains("there is no disk with --guest"))
    }
}
