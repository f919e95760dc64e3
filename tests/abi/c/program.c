/* A program that is not a plugin. */
int main(void) {
    return 0;
}
