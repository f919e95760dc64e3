/* Nothing to do with plugins. */
int main(void) {
    return 0;
}
