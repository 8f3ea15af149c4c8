import Foundation

/// What a BB84 link with decoy states gives over a distance.
///
/// The asymptotic rate of Lo, Ma and Chen, "Decoy state quantum key distribution" (Phys. Rev. Lett. 94, 230504, 2005),
/// equation 1 with the yields of a threshold detector: `R >= q (-Q f H2(E) + Q1 (1 - H2(e1)))`.
public enum LinkRate {
    /// Pulses per second, mean photon number, loss of the fibre in dB/km, efficiency of detector and receiver, dark
    /// counts per pulse, misalignment error, and efficiency of error correction of the modelled link.
    static let clock = 1e9
    static let meanPhotons = 0.4
    static let lossPerKm = 0.2
    static let efficiency = 0.2
    static let darkCounts = 1e-6
    static let misalignment = 0.01
    static let correction = 1.16

    /// Secure key in bit/s; 0 beyond the distance where the errors win.
    public static func secureKeyRate(distanceKm: Double) -> Double {
        let transmittance = efficiency * pow(10, -lossPerKm * distanceKm / 10)
        let detected = 1 - exp(-transmittance * meanPhotons)
        let gain = darkCounts + detected
        let errors = (0.5 * darkCounts + misalignment * detected) / gain
        let singleYield = darkCounts + transmittance
        let singleGain = singleYield * meanPhotons * exp(-meanPhotons)
        let singleErrors = (0.5 * darkCounts + misalignment * transmittance) / singleYield
        let secure = -gain * correction * entropy(errors) + singleGain * (1 - entropy(singleErrors))
        return max(0, clock / 2 * secure)
    }

    private static func entropy(_ p: Double) -> Double {
        p <= 0 || p >= 1 ? 0 : -p * log2(p) - (1 - p) * log2(1 - p)
    }
}
