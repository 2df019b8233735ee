import LinuxSystem
import VFIOABI
import VFIOHost

/// C.2: errors that are isolated (EEH).
let errorCases: [Case] = [
    Case("C.2", "EEH_PE_OP: what is tested, and in which order", on: .spapr) { t in
        let bench = try t.windowsWithErrors()
        t.expect(bench.container.request(.eehOperation, 8), .errno(.badAddress), "no memory there")
        t.expect(
            bench.container.request(.eehOperation, EEHRequest(argsz: 11, flags: 1)), .errno(.invalid),
            "argsz 11")
        t.expect(bench.container.request(.eehOperation, EEHRequest(flags: 1)), .errno(.invalid), "a flag")
        t.expect(bench.operate(EEHOperation(rawValue: 10)), .errno(.invalid), "operation 10")
        t.expect(bench.operate(EEHOperation(rawValue: .max)), .errno(.invalid), "operation 2^32 - 1")
        let short = try t.buffer(atEndOfPage: 12)
        short.store(UInt32(12))
        short.store(UInt32(0), at: 4)
        short.store(UInt32(4), at: 8)
        t.expect(bench.container.request(.eehOperation, short), .value(0), "12 bytes at the end of a page")
    },
    Case("C.2", "a device that works is thawed, enabled and configured without effect", on: .spapr) { t in
        let bench = try t.windowsWithErrors()
        for operation in [.disable, .enable, .unfreezeIO, .unfreezeDMA, .configure] as [EEHOperation] {
            t.expect(bench.operate(operation), .success, "operation \(operation.rawValue)")
        }
        t.expect(bench.operate(.getState), .value(0), "GET_STATE")
    },
    Case("C.2", "INJECT_ERR: what is tested, and in which order", on: .spapr) { t in
        let bench = try t.windowsWithErrors()
        t.expect(
            bench.operate(.injectError, EEHError(type: 2, function: 20), argsz: 39), .errno(.invalid),
            "argsz 39")
        let short = try t.buffer(atEndOfPage: 12)
        short.store(UInt32(40))
        short.store(UInt32(0), at: 4)
        short.store(UInt32(9), at: 8)
        t.expect(bench.container.request(.eehOperation, short), .errno(.badAddress), "the error isn't there")
        t.expect(
            bench.operate(.injectError, EEHError(type: 2, function: 20)), .errno(.invalid), "function 20")
        let isGuest = bench.info.ddw.levels == 1
        t.expect(
            bench.operate(.injectError, EEHError(type: 2)), .errno(.outOfRange), "type 2",
            .when(isGuest, .errno(.invalid), "a hypervisor's interface names it otherwise"))
    },
    Case("C.2", "a load that fails reads ones and freezes the device until it is thawed", on: .spapr) { t in
        let bench = try t.windowsWithErrors()
        let (_, file) = t.getDevice(bench.record.name, from: bench.group)
        guard let file else { throw Halt.broken("GET_DEVICE_FD") }
        let command = UInt64(7) << 40 + 4
        t.expect(file.write(at: command, [6, 0]), .value(2), "memory on")
        let identification = try file.load(UInt32.self, at: 0)
        t.expect(bench.operate(.injectError, EEHError(type: 0, function: 0)), .success, "INJECT_ERR")
        t.expect(bench.operate(.getState), .value(0), "it waits for a load")
        t.expect(try file.load(UInt32.self, at: 0), equals: .max, "the load")
        t.expect(bench.operate(.getState), .value(2), "frozen")
        t.expect(try file.load(UInt32.self, at: 0), equals: .max, "the next")
        t.expect(file.write(at: 4, [0, 0, 0, 0]), .value(4), "a store gets lost")
        t.expect(bench.operate(.unfreezeIO), .success, "UNFREEZE_IO")
        t.expect(bench.operate(.getState), .value(4), "memory is out of reach still")
        t.expect(try file.load(UInt32.self, at: 0) == identification, "registers aren't")
        t.expect(bench.operate(.unfreezeDMA), .success, "UNFREEZE_DMA")
        t.expect(bench.operate(.getState), .value(0), "as before")
    },
    Case("C.2", "recovery by the book brings a frozen device back as after a reset", on: .spapr) { t in
        for operation in [.resetHot, .resetFundamental] as [EEHOperation] {
            let bench = try t.windowsWithErrors()
            let (_, file) = t.getDevice(bench.record.name, from: bench.group)
            guard let file else { throw Halt.broken("GET_DEVICE_FD") }
            t.expect(file.write(at: 7 << 40 + 4, [6, 0]), .value(2), "memory on")
            let bar = try file.load(UInt32.self, at: 7 << 40 + 0x10)
            t.expect(file.write(at: 4, [1, 2, 3, 4]), .value(4), "a register")
            t.expect(bench.operate(.injectError, EEHError(type: 0, function: 0)), .success, "INJECT_ERR")
            _ = try file.load(UInt32.self, at: 0)
            t.expect(bench.operate(.unfreezeIO), .success, "UNFREEZE_IO")
            t.expect(bench.operate(operation), .success, "RESET (\(operation.rawValue))")
            t.expect(bench.operate(.getState), .value(1), "in reset")
            t.expect(try file.load(UInt32.self, at: 0), equals: .max, "a load")
            t.expect(bench.operate(.resetDeactivate), .success, "RESET_DEACTIVATE")
            t.expect(bench.operate(.configure), .success, "CONFIGURE")
            t.expect(bench.operate(.getState), .value(0), "normal")
            t.expect(try file.load(UInt32.self, at: 7 << 40 + 0x10) == bar, "BAR 0 is where it was")
            t.expect(try file.load(UInt32.self, at: 4), equals: 0, "the register was reset")
            file.close()
            bench.group.close()
            bench.container.close()
        }
    },
    Case("C.2", "of several groups the first that isn't normal is told", on: .spapr) { t in
        let bench = try t.windowsWithErrors()
        let other = try t.open(try t.otherDevice(than: bench.record).groupNode)
        try t.require(t.put(other, into: bench.container), "SET_CONTAINER")
        t.expect(bench.operate(.getState), .value(0), "both are")
        t.expect(bench.operate(.resetHot), .success, "RESET_HOT of both")
        t.expect(bench.operate(.getState), .value(1), "neither is")
        t.expect(bench.operate(.resetDeactivate), .success, "RESET_DEACTIVATE")
        t.expect(bench.operate(.getState), .value(0), "both are again")
    },
]

extension Trial {
    /// Windows on a machine that isolates errors.
    fileprivate func windowsWithErrors() throws -> WindowBench {
        let bench = try windows()
        guard bench.container.request(.checkExtension, 5) == .value(1) else {
            throw Halt.skipped("the machine doesn't isolate errors (extension 5)")
        }
        return bench
    }
}
