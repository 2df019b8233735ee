import LinuxSystem
import Testing
import VFIOHost

@Suite("Linux's nodes")
struct LinuxHostNodeTests {
    @Test(
        "a node that isn't there is ENOENT",
        arguments: [
            Node.container, .group(26), .unprotectedGroup(3), .device(0), .iommu,
        ])
    func missing(node: Node) throws {
        let tree = try Tree()
        let host = LinuxHost(devices: tree.root + "/dev")
        #expect(throws: Errno.noSuchEntry) { try host.open(node) }
    }

    @Test(
        "are where VFIO has them",
        arguments: [
            (Node.container, "vfio/vfio"), (.group(26), "vfio/26"), (.unprotectedGroup(3), "vfio/noiommu-3"),
            (.device(7), "vfio/devices/vfio7"), (.iommu, "iommu"),
        ])
    func paths(node: Node, path: String) throws {
        let tree = try Tree()
        try tree.file("dev/" + path, "")
        let host = LinuxHost(devices: tree.root + "/dev")
        let handle = try host.open(node)
        #expect(Descriptor.isOpen(handle))
        host.close(handle)
        #expect(Descriptor.isOpen(handle) == false)
    }

    @Test("a folder in a node's place is EISDIR")
    func folder() throws {
        let tree = try Tree()
        tree.folder("dev/iommu")
        #expect(throws: Errno.isDirectory) { try LinuxHost(devices: tree.root + "/dev").open(.iommu) }
    }

    @Test("are read, written and mapped at offsets")
    func access() throws {
        let tree = try Tree()
        try tree.file("dev/iommu", [UInt8](repeating: 7, count: 2 * pageSize))
        let host = LinuxHost(devices: tree.root + "/dev")
        let node = try Handle(opening: .iommu, on: host)
        let bytes: [UInt8] = [1, 2, 3]
        // SAFETY: the array's bytes are all initialised.
        #expect(try node.write(at: UInt64(pageSize), unsafe bytes.span.bytes) == 3)
        let window = try host.map(
            node.number, at: UInt64(pageSize), byteCount: pageSize, protection: [.read, .write])
        #expect(window.load32(0) == 0x0703_0201)
        window.store8(1, 9)
        var back: [UInt8] = [0, 0, 0, 0]
        do {
            var span = back.mutableSpan
            // SAFETY: any byte is a UInt8.
            var raw = unsafe span.mutableBytes
            #expect(try node.read(at: UInt64(pageSize), into: &raw) == 4)
        }
        #expect(back == [1, 9, 3, 7])
        host.unmap(window)
    }

    @Test("a request to something that doesn't know it is ENOTTY, and to nothing EBADF")
    func requests() throws {
        let tree = try Tree()
        try tree.file("dev/vfio/vfio", "")
        let host = LinuxHost(devices: tree.root + "/dev")
        let node = try Handle(opening: .container, on: host)
        #expect(throws: Errno.noSuchRequest) { try node.control(0x3b64) }
        #expect(throws: Errno.badDescriptor) { try host.control(-1, 0x3b64, 0) }
    }

    @Test("a handle that was given away isn't closed by its owner")
    func release() throws {
        let tree = try Tree()
        try tree.file("dev/iommu", "")
        let host = LinuxHost(devices: tree.root + "/dev")
        let number = try Handle(opening: .iommu, on: host).release()
        #expect(Descriptor.isOpen(number))
        host.close(number)
    }
}
