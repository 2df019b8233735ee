import MachineFormat
import SoftwareDevices
import SoftwareHost
import Testing

@Suite struct NetworkMachineTests {
    private func cards(_ devices: String) throws -> [PCIDevice] {
        try MachineFile.parse(
            Array(#"{ "groups": [ { "number": 1, "devices": [ \#(devices) ] } ] }"#.utf8), folder: ""
        ).groups[0].devices
    }

    @Test("Network cards in a machine file share wires by name, and have addresses of their own")
    func wires() throws {
        let devices = try cards(
            #"""
            { "address": "0000:03:00.0", "model": "virtio-net", "mac": "52:54:00:12:34:56", "wire": "lab" },
            { "address": "0000:04:01.2", "model": "82574", "wire": "lab" },
            { "address": "0000:05:00.0", "model": "82574" },
            { "address": "0000:06:00.0", "model": "virtio-net" },
            { "address": "0000:07:00.0", "model": "82574", "loopback": true, "wire": "own" }
            """#)
        let virtio = [0, 3].compactMap { devices[$0].model as? VirtioNetworkCard }
        let gigabit = [1, 2, 4].compactMap { devices[$0].model as? Intel82574 }
        try #require(virtio.count == 2 && gigabit.count == 3)
        #expect(virtio[0].address == MACAddress("52:54:00:12:34:56"))
        #expect(virtio[1].address == MACAddress("52:54:00:00:06:00"))
        #expect(virtio[0].port.wire === gigabit[0].port.wire)
        #expect(virtio[1].port.wire === gigabit[1].port.wire)
        #expect(virtio[0].port.wire !== virtio[1].port.wire)
        #expect(gigabit[2].port.loopsBack && !gigabit[1].port.loopsBack)
        #expect(gigabit[2].port.wire.portCount == 1)
    }

    @Test("What is wrong with a network card is told with its place")
    func mistakes() throws {
        for (keys, part) in [
            (#""mac": "52:54:00:12:34""#, ".mac is \"52:54:00:12:34\""),
            (#""mac": "53:54:00:12:34:56""#, ".mac"),
            (#""tap": "tap0", "loopback": true"#, ".tap can't be together"),
            (#""tap": "a name that is much too long""#, ".tap can't be opened: ENAMETOOLONG"),
            (#""wire": 5"#, ".wire"),
        ] {
            do {
                _ = try cards(#"{ "address": "0000:03:00.0", "model": "82574", \#(keys) }"#)
                Issue.record("\(keys) was accepted")
            } catch let error as StrictObject.Problem {
                #expect(error.description.contains("groups[0].devices[0]" + part), "\(error)")
            }
        }
    }
}
