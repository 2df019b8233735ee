import ArgumentParser
import VFIO
import VFIOOperator

/// What is given on a command line of registers.
enum RegisterArguments {
    static func check(_ width: Int?) throws {
        guard let width, ![1, 2, 4, 8].contains(width) else { return }
        throw ValidationError("--width is 1, 2, 4 or 8 bytes")
    }

    /// A place.
    static func place(_ text: String) throws(CommandFailure) -> RegisterPlace {
        do throws(RegisterNotationError) {
            return try RegisterPlace(text)
        } catch {
            throw .wrongUsage("\(error)")
        }
    }

    /// A value or a mask.
    static func value(_ text: String, _ what: String) throws(CommandFailure) -> UInt64 {
        guard let value = RegisterPlace.number(text) else {
            throw .wrongUsage("\(what) \"\(text)\" is no number of at most 64 bits, such as 0x1f or 31")
        }
        return value
    }
}

/// A register and what is written to it: "bar0:0x60=1".
struct RegisterAssignment {
    let place: RegisterPlace
    let value: UInt64

    init(_ text: String) throws(CommandFailure) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw .wrongUsage("\"\(text)\" is no place with a value; one looks like bar0:0x60=1")
        }
        place = try RegisterArguments.place(String(parts[0]))
        value = try RegisterArguments.value(String(parts[1]), "the value")
    }

    /// Writes it, without reading it: a device's registers may do something when they are read.
    func carryOut(on registers: DeviceRegisters) throws(VFIOError) {
        try registers.store(value, to: place)
    }
}
