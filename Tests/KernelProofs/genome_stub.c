#include "proof.h"
void prove_align(void){} void prove_pairhmm(void){} void prove_seed(void){}
