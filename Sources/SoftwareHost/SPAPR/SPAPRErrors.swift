import LinuxSystem
import VFIOABI

/// VFIO_EEH_PE_OP (kernel.md C.2); the tests are in the kernel's order.
extension SPAPR {
    /// Does something to one group after the other, until one has something to say: an error, or a state that isn't
    /// the normal one.
    func handleErrors(_ address: HostAddress) throws(Errno) -> Int32 {
        for group in try exclusively({ () throws(Errno) in groups }) {
            guard let endpoint = group.endpoint else { throw .noDevice }
            let request = try UserMemory.load(EEHRequest(), from: address, count: EEHRequest.minimumSize)
            guard request.argsz >= UInt32(EEHRequest.minimumSize), request.flags == 0 else { throw .invalid }
            let answer = try carryOut(request, at: address, for: endpoint)
            if answer != 0 { return answer }
        }
        return 0
    }

    private func carryOut(
        _ request: EEHRequest, at address: HostAddress, for endpoint: PartitionableEndpoint
    ) throws(Errno) -> Int32 {
        switch request.operation {
        // Errors are always handled: a kernel only forgets that somebody asked.
        case .disable: break
        case .enable: if endpoint.state != .normal { endpoint.thaw() }
        case .unfreezeIO: endpoint.thawIO()
        case .unfreezeDMA: endpoint.thawDMA()
        case .getState: return Int32(truncatingIfNeeded: endpoint.state.rawValue)
        case .resetDeactivate: endpoint.endReset()
        case .resetHot, .resetFundamental: try endpoint.beginReset()
        // What there is to restore came back with the end of the reset.
        case .configure: break
        case .injectError: endpoint.arm(try loadError(request, at: address))
        default: throw .invalid
        }
        return 0
    }

    private func loadError(_ request: EEHRequest, at address: HostAddress) throws(Errno) -> EEHError {
        guard request.argsz >= UInt32(EEHRequest.byteCount) else { throw .invalid }
        let error = try UserMemory.load(EEHRequest(), from: address).error
        guard error.function <= 19 else { throw .invalid }
        switch iommu.platform {
        case .powerNV: if error.type > 1 { throw .outOfRange }
        case .pSeries:
            if error.type > 1 { throw .invalid }
            // A hypervisor lets only loads from memory and stores to it go wrong.
            guard [0, 1, 6, 7].contains(error.function) else { throw .outOfRange }
        }
        return error
    }
}
