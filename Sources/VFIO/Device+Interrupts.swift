import LinuxSystem
import VFIOABI
import VFIOHost

extension Device {
    /// What a kind of interrupts can do: `VFIO_DEVICE_GET_IRQ_INFO`.
    ///
    /// A kind that the device doesn't have has no vectors.
    public func interruptInfo(_ index: InterruptIndex) throws(VFIOError) -> InterruptInfo {
        var answer = IRQInfo(index: index.rawValue)
        do throws(Errno) {
            try handle.send(.deviceGetIRQInfo, &answer)
        } catch {
            // The host's way of saying that a conventional PCI device has no error interrupt.
            if error == .invalid {
                return InterruptInfo(
                    count: 0, signalsEvents: false, isMaskable: false, masksItself: false, isFixedSize: false)
            }
            throw VFIOError(operation: "ask about \(title(of: index))", object: name, errno: error)
        }
        return InterruptInfo(
            count: Int(answer.count), signalsEvents: answer.flags.contains(.eventFD),
            isMaskable: answer.flags.contains(.maskable), masksItself: answer.flags.contains(.automasked),
            isFixedSize: answer.flags.contains(.noResize))
    }

    /// Enables vectors of one kind, each with an eventfd of its own. INTx, MSI and MSI-X exclude one
    /// another; the lines of a device that isn't a PCI function don't.
    ///
    /// All vectors are enabled at once, because not every device can get more later
    /// (`VFIO_IRQ_INFO_NORESIZE`): to have more, end these and enable anew.
    /// - Parameter count: how many, from vector 0 on; at least 1.
    /// - Throws: ``VFIOError/Code/tooFewVectors`` with the number available, if they are fewer;
    ///   ``VFIOError/Code/busy`` if this kind, or one that excludes it, is enabled.
    public func enableInterrupts(_ index: InterruptIndex, count: Int) throws(VFIOError) -> Interrupts {
        let operation = "enable \(counted(count, "vector")) of \(title(of: index))"
        guard count > 0 else {
            throw VFIOError(
                operation: operation, object: name, code: .outOfBounds, cause: "at least one must be enabled")
        }
        let available = try interruptInfo(index)
        guard count <= available.count else {
            throw tooFew(operation, index, available: available.count, wanted: count)
        }
        guard available.signalsEvents else {
            throw VFIOError(
                operation: operation, object: name, code: .notSupported,
                cause: "\(title(of: index)) can't signal eventfds")
        }
        if let other = interruptState.claim(index, isPCI: isPCI) {
            throw VFIOError(
                operation: operation, object: name, code: .busy,
                cause: other == index
                    ? "\(title(of: index)) is enabled already"
                    : "\(title(of: other)) is enabled, which excludes \(title(of: index))",
                remedy: "disable \(title(of: other)) first")
        }
        do throws(VFIOError) {
            return Interrupts(try enable(index, count, operation))
        } catch {
            interruptState.release(index)
            throw error
        }
    }

    private func enable(
        _ index: InterruptIndex, _ count: Int, _ operation: String
    ) throws(VFIOError) -> InterruptSet {
        var vectors: [EventBox] = []
        var data: [UInt8] = []
        let granted: Int32
        do throws(Errno) {
            for _ in 0..<count {
                let box = EventBox(try EventDescriptor())
                vectors.append(box)
                let number = UInt32(bitPattern: box.event.number)
                for shift in [0, 8, 16, 24] as [UInt32] {
                    data.append(UInt8(truncatingIfNeeded: number >> shift))
                }
            }
            granted = try setInterrupts([.dataEventFD, .actionTrigger], index, start: 0, count: count, data)
        } catch {
            throw enableError(operation, index, error)
        }
        // A positive answer means that so many could be had, and that none was enabled (kernel.md D.8).
        guard granted == 0 else {
            throw tooFew(operation, index, available: Int(granted), wanted: count)
        }
        return InterruptSet(self, index, vectors)
    }

    /// Changes interrupts: `VFIO_DEVICE_SET_IRQS`.
    package func setInterrupts(
        _ flags: IRQSetFlags, _ index: InterruptIndex, start: Int, count: Int, _ data: [UInt8] = []
    ) throws(Errno) -> Int32 {
        let size = IRQSet.byteCount + data.count
        var bytes = [UInt8](repeating: 0, count: IRQSet.byteCount)
        bytes.put(
            IRQSet(
                argsz: UInt32(size), flags: flags, index: index.rawValue, start: UInt32(start),
                count: UInt32(count)),
            at: 0)
        bytes += data
        return try handle.send(.deviceSetIRQs, bytes: &bytes)
    }

    private func tooFew(
        _ operation: String, _ index: InterruptIndex, available: Int, wanted: Int
    ) -> VFIOError {
        VFIOError(
            operation: operation, object: name, code: .tooFewVectors,
            cause: available == 0
                ? "the device has no \(title(of: index))"
                : "only \(available) of the \(wanted) vectors \(available == 1 ? "is" : "are") available",
            remedy: available == 0 ? nil : "ask for \(available)")
    }

    private func enableError(_ operation: String, _ index: InterruptIndex, _ errno: Errno) -> VFIOError {
        var error = VFIOError(operation: operation, object: name, errno: errno)
        switch errno {
        case .invalid:
            error.code = .busy
            error.cause = "another kind of interrupts is enabled through another handle of the device"
        case .tooManyDescriptors:
            error.cause = "this process has as many open descriptors as it may; each vector needs one"
            error.remedy = "raise the limit (ulimit -n)"
        case .noDevice where index == .intx:
            error.cause = "the platform doesn't route the device's interrupt line"
        case .noSpace: error.cause = "the machine has no interrupt vectors left"
        default: break
        }
        return error
    }
}
