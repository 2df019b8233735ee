import LinuxSystem
import NVMe
import NVMeController
import NVMeDriver
import SoftwareHost
import VFIO
import Testing

@Suite("The README's example")
struct ReadmeTests {
    @Test("The lines of the README drive a disk on a machine described as in the README")
    func example() throws {
        let path = "/tmp/readme-\(Clock.now).img"
        defer { try? FileSystem.unlink(path) }
        do {
            let file = try Descriptor(opening: path, [.readWrite, .create, .exclusive])
            try file.resize(to: 1 << 20)
        }
        let disk = try NVMeController(image: path)
        let host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(26) { PCIDevice(disk, at: "0000:01:00.0") }
        }
        let ssd = try Controller(opening: "0000:01:00.0", on: host)
        #expect("\(ssd.identity.modelNumber) \(ssd.device.route)".contains("NVMe controller"))
        var blocks = try ssd.read(blocks: 0..<8)
        blocks[0] ^= 1
        try ssd.write(blocks: 0..<8, from: blocks)
        try ssd.flush()
        try ssd.close()
        #expect(try FileSystem.bytes(of: path, limit: 1) == [1])
    }
}
