import DeviceModel
import LinuxSystem
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("ioeventfds")
struct PCIEventWriteTests {
    private func set(_ driver: PCIBusDriver, _ number: Int32, data: UInt64) throws {
        var request = DeviceIOEventFD(flags: .bits32, offset: 0x10, data: data, fd: number)
        let address = unsafe withUnsafeMutableBytes(of: &request) { UInt(bitPattern: $0.baseAddress) }
        _ = try driver.control(UInt32(Request.deviceIOEventFD.rawValue), address)
    }

    @Test("an eventfd that was taken away and comes again writes again")
    func comesAgain() throws {
        let device = TestDevice(
            PCIFunction(
                PCIIdentity(vendor: 1, device: 2, classCode: 0), bars: [0: BAR(.memory32, byteCount: 4096)]))
        let bench = Bench(device)
        try bench.driver.openDevice()
        let event = try EventDescriptor()
        for round: UInt64 in 1...3 {
            try set(bench.driver, event.number, data: round)
            event.signal()
            let deadline = Clock.moment(inMilliseconds: 5000)
            while Clock.now < deadline && (try bench.read(0, 0x10, 4)) != [UInt8(round), 0, 0, 0] {
                Clock.sleep(nanoseconds: 1_000_000)
            }
            #expect(try bench.read(0, 0x10, 4) == [UInt8(round), 0, 0, 0])
            try set(bench.driver, -1, data: round)
        }
        bench.driver.closeDevice()
    }
}
