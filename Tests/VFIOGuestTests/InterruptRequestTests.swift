import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI

@testable import VFIOGuest

@Suite("Interrupts, as the host is asked for them")
struct InterruptRequestTests {
    /// What was sent: the header, and the payload as one number.
    private struct Sent: Equatable {
        var header: IRQSet
        var payload: Int32?
    }

    private let machine: FaultyMachine
    private let device: Device
    private let sent = Box<[Sent]>([])

    init() throws {
        machine = try FaultyMachine()
        device = try Device(opening: GuestMachine.address(0), on: machine.host, .group)
        let sent = self.sent
        machine.host.answer(.deviceSetIRQs) { argument in
            let address = HostAddress(rawValue: argument)
            guard let header = try? UserMemory.load(IRQSet(), from: address) else { return nil }
            var payload: Int32?
            if Int(header.argsz) >= IRQSet.byteCount + 4 {
                payload = try? UserMemory.load(Int32(0), from: address + IRQSet.byteCount)
            }
            sent.change { $0.append(Sent(header: header, payload: payload)) }
            return .success(0)
        }
    }

    private func header(
        _ flags: IRQSetFlags, _ index: InterruptIndex, start: UInt32 = 0, count: UInt32, payload: UInt32 = 0
    ) -> IRQSet {
        IRQSet(
            argsz: UInt32(IRQSet.byteCount) + payload, flags: flags, index: index.rawValue, start: start,
            count: count)
    }

    @Test("1.1 Disabling a kind, masking and unmasking are one request each, of the header alone")
    func bare() throws {
        try device.disableInterrupts(.msix)
        try device.setMasked(true, .intx)
        try device.setMasked(false, .intx)
        #expect(
            sent.value == [
                Sent(header: header([.dataNone, .actionTrigger], .msix, count: 0)),
                Sent(header: header([.dataNone, .actionMask], .intx, count: 1)),
                Sent(header: header([.dataNone, .actionUnmask], .intx, count: 1)),
            ])
    }

    @Test("1.1 Disabling, masking and unmasking tell what the host refused; who doesn't care says so")
    func refused() throws {
        machine.host.healAll()
        machine.host.fail(.control(UInt32(Request.deviceSetIRQs.rawValue)), with: .noDevice)
        let errors = [
            thrown { () throws(VFIOGuestError) in try device.disableInterrupts(.error) },
            thrown { () throws(VFIOGuestError) in try device.setMasked(true, .intx) },
            thrown { () throws(VFIOGuestError) in try device.setMasked(false, .intx) },
        ]
        #expect(errors.allSatisfy { $0?.errno == .noDevice })
        #expect(Set(errors.compactMap { $0?.operation }).count == 3)
        try? device.setMasked(true, .intx)
    }

    @Test("1.1 Signalling is one eventfd for one vector; -1 takes it away")
    func eventFDs() throws {
        let event = try EventDescriptor()
        try device.setSignalling(.trigger, .msix, 3, event.number)
        try device.setSignalling(.unmask, .intx, 0, event.number)
        try device.setSignalling(.mask, .intx, 0, event.number)
        try device.setSignalling(.trigger, .request, 0, nil)
        #expect(
            sent.value == [
                Sent(
                    header: header([.dataEventFD, .actionTrigger], .msix, start: 3, count: 1, payload: 4),
                    payload: event.number),
                Sent(
                    header: header([.dataEventFD, .actionUnmask], .intx, count: 1, payload: 4),
                    payload: event.number),
                Sent(
                    header: header([.dataEventFD, .actionMask], .intx, count: 1, payload: 4),
                    payload: event.number),
                Sent(
                    header: header([.dataEventFD, .actionTrigger], .request, count: 1, payload: 4),
                    payload: -1),
            ])
    }
}
